"""Builds of projects, and the events that tell of them."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import models

from django_pollable.models import PollableModel


class Project(models.Model):
    """What builds belong to. Its members see its builds; those of a public project are seen by everybody."""

    name = models.CharField(max_length=50, unique=True)
    public = models.BooleanField(default=False)
    members = models.ManyToManyField(User, related_name="projects", blank=True)

    def __str__(self) -> str:
        return self.name

    def next_number(self) -> int:
        """Return one more than the highest number of the project's builds, in one query."""
        highest = self.builds.aggregate(highest=models.Max("number"))["highest"]
        return int(highest or 0) + 1


class Label(models.Model):
    name = models.CharField(max_length=50, unique=True)

    def __str__(self) -> str:
        return self.name


class Status(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Build(PollableModel):
    """A build: its steps and labels are part of what clients see of it."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="builds")
    number = models.PositiveIntegerField()
    branch = models.CharField(max_length=100, default="main")
    commit = models.CharField(max_length=40, blank=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    author = models.CharField(max_length=50, blank=True)
    labels = models.ManyToManyField(Label, related_name="builds", blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Pollable:
        scope = ("project",)
        follows = ("steps", "labels")

    def __str__(self) -> str:
        return f"#{self.number}"


class Step(models.Model):
    build = models.ForeignKey(Build, on_delete=models.CASCADE, related_name="steps")
    name = models.CharField(max_length=50)
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return self.name


class Event(PollableModel):
    """What has happened: written once, never changed."""

    kind = models.CharField(max_length=20)
    message = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.message
