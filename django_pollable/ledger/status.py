"""How a feed does, for those who operate it: one value for the command, the admin and the metrics."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connections

from django_pollable.ledger.history import UNTRUSTED
from django_pollable.ledger.options import FeedOptions, feeds
from django_pollable.ledger.state import read_clock
from django_pollable.ledger.tables import Change, Feed, PendingChange

MOST_PENDING = 100_000
"""A longer backlog is not counted to its end."""
MOST_ROWS = 100_000
"""A longer table is not counted to its end."""


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """
    Where a feed stands in one database.

    Attributes:
        head, horizon: sequence numbers; a cursor below the horizon has expired.
        epoch: the name of its unbroken history.
        is_trusted: False while changes may go unseen, until `manage.py pollable install`.
        pending: committed changes without a number (rows), at most `MOST_PENDING`.
        quiet_seconds: since the newest change got its number; None where no change is kept.
        retained_seconds: how far back a cursor may lie: since the history began, or was last pruned.
    """

    name: str
    using: str
    head: int
    horizon: int
    epoch: str
    pending: int
    quiet_seconds: float | None
    retained_seconds: float

    @property
    def is_trusted(self) -> bool:
        return self.epoch != UNTRUSTED


@dataclass(frozen=True, slots=True)
class Census:
    """How many changes a feed keeps (rows), and how many of them are tombstones."""

    changes: int
    tombstones: int


def feeds_on(using: str) -> list[FeedOptions]:
    """Return the feeds that live in the database `using`."""
    return [feed for feed in feeds() if feed.is_on(using)]


def databases() -> list[str]:
    """Return the aliases of the databases that hold feeds."""
    return [using for using in connections if feeds_on(using)]


def status_of(feed: FeedOptions, using: str) -> FeedStatus | None:
    """Return where `feed` stands, in four indexed look-ups; None where it has no history yet."""
    row = Feed.objects.using(using).filter(pk=feed.id).first()
    if row is None:
        return None
    now = read_clock(using)
    newest = (
        Change.objects.using(using).filter(feed_id=feed.id).order_by("-sequence").values_list("changed_at", flat=True)
    )
    changed_at = newest.first()
    pending = PendingChange.objects.using(using).filter(feed_id=feed.id)[:MOST_PENDING].count()
    return FeedStatus(
        name=feed.name,
        using=using,
        head=row.sequence,
        horizon=row.horizon,
        epoch=row.epoch,
        pending=pending,
        quiet_seconds=None if changed_at is None else max(now - changed_at, 0) / 1000,
        retained_seconds=max(now - row.pruned_before, 0) / 1000,
    )


def census_of(feed: FeedOptions, using: str) -> Census:
    """Count the changes that `feed` keeps: it reads them all, so not at each look."""
    mine = Change.objects.using(using).filter(feed_id=feed.id)
    return Census(mine.count(), mine.filter(removed=True).count())


def rows_of(feed: FeedOptions, using: str) -> int:
    """Count the rows that a new epoch lets clients read again, at most `MOST_ROWS`."""
    return feed.model._base_manager.using(using).order_by()[:MOST_ROWS].count()
