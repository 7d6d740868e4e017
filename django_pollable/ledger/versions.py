"""Which state of an object is the current one."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db import connections
from django.db.models import Model, Q, QuerySet

from django_pollable.cursors import fingerprint
from django_pollable.ledger.changes import ChangeLog
from django_pollable.ledger.options import FeedOptions
from django_pollable.ledger.state import FeedState
from django_pollable.ledger.tables import PendingChange
from django_pollable.ledger.watches import watches


class Version(NamedTuple):
    """A state of an object: its newest change in an unbroken history."""

    feed_id: int
    epoch: str
    key: str
    sequence: int

    @property
    def name(self) -> str:
        """A short text that stands for it."""
        return fingerprint(*self)


def key_of(feed: FeedOptions, instance: Model, using: str) -> str:
    """Return the key of `instance` in the ledger."""
    return feed.key.encode([getattr(instance, field.attname) for field in feed.key.fields], connections[using])


def version_at(state: FeedState, feed: FeedOptions, instance: Model, *, using: str) -> Version:
    """Return the version of `instance`, whose feed stands at `state`, by the numbers that have been given."""
    key = key_of(feed, instance, using)
    return Version(feed.id, state.epoch, key, ChangeLog(feed, None, using).object_sequence(key))


def settled_version(state: FeedState, feed: FeedOptions, instance: Model, *, using: str) -> Version | None:
    """
    Return the same, or None where a committed change of the row, or of what it follows, has no number yet.

    `state` comes from a full look. Pending changes are looked for first: they get their numbers at any moment.
    """
    if state.has_pending and _is_pending(feed, instance, using):
        return None
    return version_at(state, feed, instance, using=using)


def _is_pending(feed: FeedOptions, instance: Model, using: str) -> bool:
    """Return whether a note names the object or what it shows; one that is not understood may."""
    notes = PendingChange.objects.using(using).filter(feed_id=feed.id)
    keys = {watch.via: watch.keys for watch in watches(feed)}
    named = Q(via="", key=key_of(feed, instance, using))
    for via in notes.exclude(via="").order_by().values_list("via", flat=True).distinct():
        if via not in keys:
            return True
        shown: Any = QuerySet(feed.model, using=using).filter(pk=instance.pk).order_by().values_list(via, flat=True)
        texts = [keys[via].encode([value], connections[using]) for value in shown if value is not None]
        named |= Q(via=via, key__in=texts)
    return notes.filter(named).exists()
