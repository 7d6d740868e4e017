from typing import ClassVar

from django.db import models

from django_pollable.models import PollableModel


class Project(models.Model):
    name = models.CharField(max_length=100)


class Build(PollableModel):
    project = models.ForeignKey(Project, on_delete=models.CASCADE)
    status = models.CharField(max_length=10, default="queued")

    class Pollable:
        scope: ClassVar = ("project",)
