"""Numbers for changes, given after they are committed."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from django.db import DatabaseError, connections, router, transaction

from django_pollable.conf import conf
from django_pollable.ledger import history
from django_pollable.ledger.options import FeedOptions
from django_pollable.ledger.state import CLOCK, FeedState, next_modified_at, read_state
from django_pollable.ledger.tables import Feed, PendingChange, Scope, new_epoch
from django_pollable.signals import changes_settled, feed_reset

logger = logging.getLogger(__name__)

SETTLES_PER_SECOND = 10.0
SETTLE_BURST = 20.0
FULL_LOOK_SECONDS = 1.0
WHOLE_TABLE = "*"

Mark = tuple[str, str, bool]
"""Scope, key, removed."""


class Note(NamedTuple):
    """The columns of a pending change."""

    id: int
    scope: str
    key: str
    removed: bool
    via: str


class Table(NamedTuple):
    """What an upsert has to know of a table."""

    name: str
    columns: tuple[str, ...]
    unique: tuple[str, ...]
    renewed: tuple[str, ...]


CHANGE = Table(
    "pollable_change",
    ("feed_id", "key", "scope", "sequence", "first_sequence", "removed", "changed_at"),
    ("feed_id", "key", "scope"),
    ("sequence", "removed", "changed_at"),
)
SCOPE = Table(
    "pollable_scope",
    ("feed_id", "name", "sequence", "horizon", "horizon_key", "modified_at"),
    ("feed_id", "name"),
    ("sequence", "modified_at"),
)


class Pace:
    """
    How often the polls of this process may settle a feed: a burst, then `SETTLES_PER_SECOND`.

    Thread-safe. What a poll does not settle the next one does.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[tuple[str, int], tuple[float, float]] = {}
        self._looks: dict[tuple[str, int], float] = {}

    def is_full_look_due(self, using: str, feed_id: int, now: float) -> bool:
        """Return whether it is time to look at all pending changes, and count it as done."""
        key = (using, feed_id)
        if now - self._looks.get(key, float("-inf")) < FULL_LOOK_SECONDS:
            return False
        self._looks[key] = now
        return True

    def may_settle(self, using: str, feed_id: int, now: float) -> bool:
        """Return whether the feed may be settled now, and count it as done."""
        with self._lock:
            tokens, since = self._tokens.get((using, feed_id), (SETTLE_BURST, now))
            tokens = min(SETTLE_BURST, tokens + (now - since) * SETTLES_PER_SECOND)
            self._tokens[(using, feed_id)] = (tokens - 1 if tokens >= 1 else tokens, now)
            return tokens >= 1


_pace = Pace()


def poll_state(feed: FeedOptions, scopes: tuple[str, ...] | None, *, using: str) -> FeedState:
    """
    Settle what is pending and return the state: one query when nothing is.

    Where another process is settling, or `using` is not the database that is written to, the state
    is what it is: the change comes with a later poll.
    """
    is_full_look = _pace.is_full_look_due(using, feed.id, time.monotonic())
    state = read_state(feed, scopes, using=using, is_full_look=is_full_look)
    if state is None:
        history.begin(feed, using)
        return poll_state(feed, scopes, using=using)
    if not state.has_pending or using != router.db_for_write(feed.model):
        return state
    if not connections[using].in_atomic_block and not _pace.may_settle(using, feed.id, time.monotonic()):
        return state
    try:
        settle(feed, using=using, is_full_look=is_full_look)
    except DatabaseError:  # read-only, a deadlock, no rights: the feed can still be read as it stands
        logger.warning("%s could not be settled in '%s'", feed.name, using, exc_info=True)
    return read_state(feed, scopes, using=using) or state


def settle(feed: FeedOptions, *, using: str, is_full_look: bool = True) -> int:
    """
    Number one batch of committed changes and return how many notes it took.

    Locks the feed's row until the transaction ends; returns 0 at once where it is locked. On SQLite
    the triggers have done it already.
    """
    connection = connections[using]
    if connection.vendor == "sqlite":
        return 0
    with transaction.atomic(using=using):
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                # A number that was served must survive a crash, whatever the writers risk.
                cursor.execute("SET LOCAL synchronous_commit = on")
        row = Feed.objects.using(using).select_for_update(skip_locked=True).filter(pk=feed.id).first()
        if row is None:
            return 0
        above = 0 if is_full_look else row.settled_to
        pending = PendingChange.objects.using(using).filter(feed_id=feed.id, id__gt=above).order_by("id")
        notes = [
            Note(*values) for values in pending.values_list("id", "scope", "key", "removed", "via")[: conf.settle_batch]
        ]
        if not notes:
            return 0
        is_reset = any(note.via == WHOLE_TABLE for note in notes)
        if is_reset:
            row.epoch = new_epoch()
        _number(row, _marks(feed, notes, using), using)
        _forget([note.id for note in notes], using)
        row.settled_to = max(row.settled_to, notes[-1].id)
        row.save(using=using, update_fields=["epoch", "sequence", "settled_to", "modified_at"])
    changes_settled.send(feed.model, using=using, count=len(notes))
    if is_reset:
        feed_reset.send(feed.model, using=using)
    return len(notes)


def _marks(feed: FeedOptions, notes: Iterable[Note], using: str) -> Iterator[Mark]:
    """Yield each changed object once a scope, in the order of the newest notes."""
    own: dict[tuple[str, str], bool] = {}
    related: dict[str, dict[str, None]] = {}
    for note in notes:
        if note.via == "":
            own.pop((note.scope, note.key), None)
            own[note.scope, note.key] = note.removed
        elif note.via != WHOLE_TABLE:
            related.setdefault(note.via, {})[note.key] = None
    yield from ((scope, key, removed) for (scope, key), removed in own.items())
    for via, keys in related.items():
        for scope, key in _objects(feed, via, list(keys), using):
            if (scope, key) not in own:
                own[scope, key] = False
                yield scope, key, False


def _objects(feed: FeedOptions, via: str, keys: list[str], using: str) -> Iterator[tuple[str, str]]:
    """Yield the scopes and keys of the objects that the look-up `via` finds: where they are now."""
    connection = connections[using]
    names = [*feed.declaration.scope, *(field.name for field in feed.key.fields)]
    width = len(feed.declaration.scope)
    objects = feed.model._base_manager.using(using).filter(**{f"{via}__in": keys}).order_by()
    for values in objects.values_list(*names).distinct().iterator(chunk_size=conf.settle_batch):
        yield feed.scope.encode(values[:width], connection), feed.key.encode(values[width:], connection)


def _number(row: Feed, marks: Iterable[Mark], using: str) -> None:
    """Give each mark the feed's next sequence, a batch of rows at a time."""
    now = _clock(using)
    heads: dict[str, int] = {}
    rows: list[tuple[Any, ...]] = []
    for scope, key, removed in marks:
        row.sequence += 1
        heads[scope] = row.sequence
        rows.append((row.id, key, scope, row.sequence, row.sequence, removed, now))
        if len(rows) == conf.settle_batch:
            _upsert(CHANGE, rows, using)
            rows = []
    _upsert(CHANGE, rows, using)
    row.modified_at = next_modified_at(row.modified_at, now // 1000)
    _advance(row.id, heads, now // 1000, using)


def _advance(feed_id: int, heads: dict[str, int], now: int, using: str) -> None:
    known = Scope.objects.using(using).filter(feed_id=feed_id, name__in=list(heads))
    previous = dict(known.values_list("name", "modified_at"))
    rows = [(feed_id, name, head, 0, "", next_modified_at(previous.get(name, 0), now)) for name, head in heads.items()]
    _upsert(SCOPE, rows, using)


def _upsert(table: Table, rows: list[tuple[Any, ...]], using: str) -> None:
    """Insert rows, or renew what is there: in one statement, without a model instance a row."""
    if not rows:
        return
    connection = connections[using]
    quote = connection.ops.quote_name
    columns = ", ".join(map(quote, table.columns))
    # Numbers stand in the statement itself: drivers take their time over thousands of parameters.
    values = ", ".join(
        f"({', '.join('%s' if isinstance(value, str) else str(value) for value in row)})" for row in rows
    )
    if connection.vendor == "mysql":
        renewal = "ON DUPLICATE KEY UPDATE " + ", ".join(
            f"{quote(name)} = VALUES({quote(name)})" for name in table.renewed
        )
    else:
        renewal = f"ON CONFLICT ({', '.join(map(quote, table.unique))}) DO UPDATE SET " + ", ".join(
            f"{quote(name)} = excluded.{quote(name)}" for name in table.renewed
        )
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {quote(table.name)} ({columns}) VALUES {values} {renewal}",
            [value for row in rows for value in row if isinstance(value, str)],
        )


def _forget(ids: list[int], using: str) -> None:
    """Delete settled notes. MariaDB would scan the table for `IN`, and wait for every open writer."""
    connection = connections[using]
    if connection.vendor != "mysql":
        PendingChange.objects.using(using).filter(pk__in=ids).delete()
        return
    listed = " UNION ALL ".join(["SELECT %s AS id"] * len(ids))
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE p FROM ({listed}) d STRAIGHT_JOIN pollable_pendingchange p ON p.id = d.id",
            ids,
        )


def _clock(using: str) -> int:
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {CLOCK[connection.vendor]}")
        return int(cursor.fetchone()[0])
