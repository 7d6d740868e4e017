"""What mirrors keep beside the rows: their place, and what a first sync has seen."""

from __future__ import annotations

from django.db import models

DIGEST_LENGTH = 64


class StoredCheckpoint(models.Model):
    """A client's place in a feed; `digest` is of `name`, which names the feed and who asks."""

    digest = models.CharField(max_length=DIGEST_LENGTH, primary_key=True)
    name = models.TextField()
    checkpoint = models.JSONField()
    stored_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return self.name


class Mark(models.Model):
    """A row that the first sync under way has seen; outlives a restart in the middle of it."""

    digest = models.CharField(max_length=DIGEST_LENGTH)
    key = models.CharField(max_length=255)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["digest", "key"], name="pollable_mirror_mark_once")]

    def __str__(self) -> str:
        return self.key
