"""What a poll has to know of a feed, read in one statement."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from django.db import connections

from django_pollable.ledger.options import FeedOptions

CLOCK = {
    "postgresql": "(extract(epoch from clock_timestamp()) * 1000)::bigint",
    "mysql": "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000",
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
}
"""SQL for the database's own clock: Unix milliseconds."""

AHEAD_SECONDS = 60
"""
How far `modified_at` may run ahead of the clock (seconds).

Each batch of changes has a second of its own, so that a date tells two batches apart even when the
later one commits late; while it is ahead, no client is told it, and it need not go on.
"""


def next_modified_at(previous: int, now: int) -> int:
    """
    Return the Unix second of a batch of changes that got its numbers at `now`.

    It runs ahead by more than `AHEAD_SECONDS` only where the clock was set back: then what the date says
    has been told before, and must move on.
    """
    return previous if previous == now + AHEAD_SECONDS + 1 else max(now, previous + 1)


def read_clock(using: str) -> int:
    """Return the time by the clock of the database `using` (Unix milliseconds)."""
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {CLOCK[connection.vendor]}")
        return int(cursor.fetchone()[0])


@dataclass(frozen=True, slots=True)
class FeedState:
    """
    Where a feed, or some of its scopes, stands: the one value that a whole request goes by.

    `last_modified` is the Unix second of the newest change once that second is over, else None.
    """

    epoch: str
    head: int
    horizon: int
    last_modified: int | None
    has_pending: bool
    quiet_seconds: float
    """Since the newest change, by the database's clock."""


class Look(Enum):
    """For which pending changes a reader looks."""

    NONE = "0"
    """For none: who cannot number them need not know. On a standby it may take long to pass those that are gone."""
    NEW = "EXISTS (SELECT 1 FROM pollable_pendingchange p WHERE p.feed_id = f.id AND p.id > f.settled_to)"
    """For those above the highest that was settled."""
    FULL = "EXISTS (SELECT 1 FROM pollable_pendingchange p WHERE p.feed_id = f.id)"
    """For those of transactions that began earlier and committed later, too."""


def read_state(
    feed: FeedOptions, scopes: tuple[str, ...] | None, *, using: str, look: Look = Look.NEW
) -> FeedState | None:
    """Return the state of `scopes` (None: the whole feed) in one query, or None where the feed has no row."""
    connection = connections[using]
    sql = _statement(None if scopes is None else len(scopes), connection.vendor, look)
    # Names: Django looks for each `%s` in what SQLite is asked, for longer than SQLite looks for the row.
    parameters: dict[str, str | int] = {"feed": feed.id}
    parameters |= {f"scope{number}": name for number, name in enumerate(scopes or ())}
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        row = cursor.fetchone()
    if row is None:
        return None
    epoch, head, horizon, modified_at, now, has_pending = row
    quiet = max(0, now // 1000 - modified_at)
    is_over = modified_at > 0 and quiet > 0
    return FeedState(epoch, head, horizon, modified_at if is_over else None, bool(has_pending), quiet)


@lru_cache(maxsize=256)
def _statement(count: int | None, vendor: str, look: Look) -> str:
    """Return what to ask of `count` scopes, or of the whole feed."""
    clock = CLOCK[vendor]
    pending = Look.NONE.value if vendor == "sqlite" else look.value
    if count is None:
        return (
            f"SELECT f.epoch, f.sequence, f.horizon, f.modified_at, {clock}, {pending}"
            " FROM pollable_feed f WHERE f.id = %(feed)s"
        )
    if count == 1:
        return (
            "SELECT f.epoch, coalesce(s.sequence, 0), coalesce(s.horizon, 0), coalesce(s.modified_at, 0),"
            f" {clock}, {pending} FROM pollable_feed f"
            " LEFT JOIN pollable_scope s ON s.feed_id = f.id AND s.name = %(scope0)s WHERE f.id = %(feed)s"
        )
    names = ", ".join(f"%(scope{number})s" for number in range(count)) or "NULL"
    return (
        "SELECT f.epoch, coalesce(max(s.sequence), 0), coalesce(max(s.horizon), 0), coalesce(max(s.modified_at), 0),"
        f" {clock}, {pending} FROM pollable_feed f"
        f" LEFT JOIN pollable_scope s ON s.feed_id = f.id AND s.name IN ({names})"
        " WHERE f.id = %(feed)s GROUP BY f.id, f.epoch, f.settled_to"
    )
