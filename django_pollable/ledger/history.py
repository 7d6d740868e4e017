"""The beginning and the end of a feed's unbroken history."""

from __future__ import annotations

from django.db import transaction

from django_pollable.ledger.options import FeedOptions
from django_pollable.ledger.tables import Change, Feed, Scope, new_epoch
from django_pollable.signals import feed_reset


def begin(feed: FeedOptions, using: str) -> None:
    """Create the row of `feed` and drop what an earlier one with its name has left. Idempotent."""
    with transaction.atomic(using=using):
        _, is_new = Feed.objects.using(using).get_or_create(pk=feed.id, defaults={"name": feed.name})
        if is_new:
            Change.objects.using(using).filter(feed_id=feed.id).delete()
            Scope.objects.using(using).filter(feed_id=feed.id).delete()


def renew(feed: FeedOptions, using: str) -> None:
    """Give `feed` a new epoch: every cursor of it expires, and clients do a first sync."""
    Feed.objects.using(using).filter(pk=feed.id).update(epoch=new_epoch())
    feed_reset.send(feed.model, using=using)
