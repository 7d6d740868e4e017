"""A board of software builds."""

from django.conf import settings
from django.db import models

from django_pollable.models import PollableModel


class Project(models.Model):
    name = models.CharField(max_length=100)
    public = models.BooleanField(default=False)
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="projects")

    def __str__(self) -> str:
        return self.name


class Label(models.Model):
    name = models.CharField(max_length=50, unique=True)

    def __str__(self) -> str:
        return self.name


class Build(PollableModel):
    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        PASSED = "passed"
        FAILED = "failed"
        CANCELLED = "cancelled"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="builds")
    number = models.PositiveIntegerField()
    branch = models.CharField(max_length=100, default="main")
    commit = models.CharField(max_length=40)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    author = models.CharField(max_length=100)
    labels = models.ManyToManyField(Label, blank=True, related_name="builds")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Pollable:
        scope = ("project",)
        follows = ("steps", "labels")

    def __str__(self) -> str:
        return f"{self.project_id}#{self.number}"


class Step(models.Model):
    build = models.ForeignKey(Build, on_delete=models.CASCADE, related_name="steps")
    name = models.CharField(max_length=50)
    status = models.CharField(max_length=10, choices=Build.Status.choices, default=Build.Status.QUEUED)

    def __str__(self) -> str:
        return self.name


class Event(PollableModel):
    """What happened; rows are only added."""

    kind = models.CharField(max_length=30)
    message = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.message
