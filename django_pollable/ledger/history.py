"""The beginning and the end of a feed's unbroken history."""

from __future__ import annotations

import logging
from typing import Literal

from django.db import transaction

from django_pollable.ledger.options import FeedOptions
from django_pollable.ledger.state import next_modified_at, read_clock
from django_pollable.ledger.tables import Change, Feed, Scope, new_epoch
from django_pollable.signals import feed_reset

logger = logging.getLogger(__name__)

UNTRUSTED = ""
"""The epoch of a feed while changes may go unseen: its clients resync when that is over."""

Reason = Literal["operator", "table", "triggers"]
"""Why a feed was reset: someone said so, a whole table may have changed, or triggers were missing or different."""


def begin(feed: FeedOptions, using: str, *, epoch: str | None = None) -> None:
    """Create the row of `feed` and drop what an earlier one with its name has left. Idempotent."""
    with transaction.atomic(using=using):
        values = {
            "name": feed.name,
            "pruned_before": read_clock(using),
            "epoch": new_epoch() if epoch is None else epoch,
        }
        _, is_new = Feed.objects.using(using).get_or_create(pk=feed.id, defaults=values)
        if is_new:
            Change.objects.using(using).filter(feed_id=feed.id).delete()
            Scope.objects.using(using).filter(feed_id=feed.id).delete()


def distrust(feed: FeedOptions, using: str) -> bool:
    """Know that changes may go unseen until `renew`, even if this process ends; return whether there was a history."""
    known = Feed.objects.using(using).filter(pk=feed.id).update(epoch=UNTRUSTED)
    if not known:
        begin(feed, using, epoch=UNTRUSTED)
    return bool(known)


def untrusted(using: str) -> set[int]:
    """Return the ids of the feeds that wait for `renew`."""
    return set(Feed.objects.using(using).filter(epoch=UNTRUSTED).values_list("pk", flat=True))


def renew(feed: FeedOptions, using: str, *, is_first: bool = False, reason: Reason = "operator") -> None:
    """Give `feed` a new epoch: every cursor of it expires, and clients do a first sync; nobody is told of the first."""
    with transaction.atomic(using=using):
        row = Feed.objects.using(using).filter(pk=feed.id)
        row.update(epoch=new_epoch())  # the first statement is the lock
        now = read_clock(using)
        modified_at = next_modified_at(row.values_list("modified_at", flat=True).get(), now // 1000)
        row.update(pruned_before=now + 1, modified_at=modified_at)
        Scope.objects.using(using).filter(feed_id=feed.id).update(modified_at=modified_at)
        if not is_first:
            transaction.on_commit(lambda: _tell(feed, using, reason), using=using)


def _tell(feed: FeedOptions, using: str, reason: Reason) -> None:
    where = {"pollable_event": "feed-reset", "pollable_feed": feed.name, "pollable_database": using}
    message = "%s begins a new epoch in '%s' (%s): its clients do a first sync"
    logger.warning(message, feed.name, using, reason, extra=where | {"pollable_reason": reason})
    feed_reset.send_robust(feed.model, using=using, reason=reason)
