"""The end of old changes: the horizon moves in the transaction that deletes."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest

from django_pollable.conf import conf
from django_pollable.ledger.options import FeedOptions
from django_pollable.ledger.state import read_clock
from django_pollable.ledger.tables import Change, Feed, Scope

BATCH = 1000


def prune(feed: FeedOptions, *, using: str) -> int:
    """
    Forget the changes that are older than the retention, and return how many (rows).

    Works in batches; each locks the feed's row until its transaction ends.
    """
    return sum(prune_in_batches(feed, using=using))


def prune_in_batches(feed: FeedOptions, *, using: str) -> Iterator[int]:
    """Do the same, and yield how many changes each batch forgot: who stops in between has done what is told."""
    before = read_clock(using) - int(conf.retention_seconds * 1000)
    while pruned := _prune_batch(feed, before, using):
        yield pruned


def _prune_batch(feed: FeedOptions, before: int, using: str) -> int:
    old = Change.objects.using(using).filter(feed_id=feed.id, changed_at__lt=before)
    if not old.exists():
        return 0
    with transaction.atomic(using=using):
        # The first statement is the lock, and on SQLite makes this the writer before anything is read.
        row = Feed.objects.using(using).filter(pk=feed.id)
        row.update(pruned_before=Greatest(F("pruned_before"), before))
        batch = list(old.order_by("sequence").values_list("scope", "sequence", "key")[:BATCH])
        if not batch:
            return 0
        newest = {scope: (sequence, key) for scope, sequence, key in batch}
        for scope, (sequence, key) in newest.items():
            Scope.objects.using(using).filter(feed_id=feed.id, name=scope, horizon__lt=sequence).update(
                horizon=sequence, horizon_key=key
            )
        last = batch[-1][1]
        row.update(horizon=Greatest(F("horizon"), last))
        old.filter(sequence__lte=last).delete()
    return len(batch)
