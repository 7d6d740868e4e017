"""A table of ten columns, as peers like it: with `updated_at`, which `save()` sets, and an index on it."""

from django.db import models

from django_pollable.models import PollableModel


class Project(models.Model):
    name = models.CharField(max_length=50)


class Entry(PollableModel):
    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    title = models.CharField(max_length=50, default="")
    code = models.CharField(max_length=50, default="")
    status = models.CharField(max_length=10, default="new")
    count = models.IntegerField(default=0)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    data = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        indexes = [models.Index(fields=["updated_at", "id"], name="entry_updated")]

    class Pollable:
        scope = ("project",)
        follows = ("comments",)


class Comment(models.Model):
    """A row that the representation of an entry shows."""

    entry = models.ForeignKey(Entry, on_delete=models.CASCADE, related_name="comments")
    text = models.CharField(max_length=50)
