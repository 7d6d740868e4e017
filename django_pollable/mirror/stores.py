"""Checkpoints in the database, so that they are committed with the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from typing import TypeVar

from asgiref.sync import sync_to_async
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Model

from django_pollable.client.machine import Checkpoint
from django_pollable.mirror.models import StoredCheckpoint

__all__ = ["AsyncDjangoStore", "DjangoStore"]

M = TypeVar("M", bound=Model)


class DjangoStore:
    """
    Keeps checkpoints in the database `using`.

    Inside `transaction.atomic()` a checkpoint is committed with what else is written there, or not at all.
    """

    def __init__(self, using: str = DEFAULT_DB_ALIAS) -> None:
        self.using = using

    def load(self, key: str) -> Checkpoint | None:
        """Return the checkpoint of `key`, in one query, on a connection that has not been lost meanwhile."""
        if not connections[self.using].in_atomic_block:
            connections[self.using].close_if_unusable_or_obsolete()
        stored = StoredCheckpoint.objects.using(self.using).filter(pk=digest_of(key)).first()
        return None if stored is None else Checkpoint(**stored.checkpoint)

    def save(self, key: str, checkpoint: Checkpoint) -> None:
        """Keep `checkpoint`, in one query."""
        row = StoredCheckpoint(digest=digest_of(key), name=key, checkpoint=asdict(checkpoint))
        upsert([row], ["checkpoint", "stored_at"], using=self.using)

    def close(self) -> None:
        """Do nothing: connections are Django's."""


class AsyncDjangoStore(DjangoStore):
    """The same for an `AsyncPoller`; the transaction of an asynchronous handler is not its own."""

    load = sync_to_async(DjangoStore.load)  # type: ignore[assignment]
    save = sync_to_async(DjangoStore.save)  # type: ignore[assignment]


def digest_of(key: str) -> str:
    """Return what stands for a key, which has no limit, in an index, which has."""
    return sha256(key.encode()).hexdigest()


def upsert(rows: Sequence[M], fields: Sequence[str], *, using: str) -> None:
    """Insert `rows`, or set `fields` of those that are there, by primary key, in one query a batch."""
    if not rows:
        return
    manager = type(rows[0])._base_manager.using(using)
    if not fields:
        manager.bulk_create(rows, ignore_conflicts=True)
        return
    has_targets = connections[using].features.supports_update_conflicts_with_target
    unique = [type(rows[0])._meta.pk.name] if has_targets else None
    manager.bulk_create(rows, update_conflicts=True, update_fields=fields, unique_fields=unique)
