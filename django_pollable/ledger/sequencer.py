"""Numbers for changes, given after they are committed."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from django.core.exceptions import FieldError, ValidationError
from django.db import DatabaseError, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet

from django_pollable.conf import conf
from django_pollable.exceptions import NotYetAvailable
from django_pollable.ledger import history
from django_pollable.ledger.options import FeedOptions
from django_pollable.ledger.pace import Pace
from django_pollable.ledger.state import FeedState, Look, next_modified_at, read_clock, read_state
from django_pollable.ledger.tables import Feed, PendingChange
from django_pollable.ledger.upserts import CHANGE, SCOPE, upsert
from django_pollable.signals import changes_settled

logger = logging.getLogger(__name__)

WHOLE_TABLE = "*"

READ_ONLY = {
    "postgresql": "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool",
    "mysql": "SELECT CONCAT(@@global.read_only) NOT IN ('0', 'OFF')",
}

Mark = tuple[str, str, bool]
"""Scope, key, removed."""


class Note(NamedTuple):
    """The columns of a pending change."""

    id: int
    scope: str
    key: str
    removed: bool
    via: str


_pace = Pace()


def poll_state(feed: FeedOptions, scopes: tuple[str, ...] | None, *, using: str) -> FeedState:
    """
    Settle what is pending and return the state: one query when nothing is.

    Where another process is settling, or `using` cannot be written to, the state is what it is: the
    change comes with a later poll.

    Raises:
        NotYetAvailable: a replica does not know the feed yet.
    """
    if not _may_write(feed, using):
        known = read_state(feed, scopes, using=using, look=Look.NONE)
        if known is None:
            raise NotYetAvailable("This replica does not have the feed yet.")
        return known
    place = using, feed.id
    is_full_look = _pace.is_full_look_due(place)
    state = read_state(feed, scopes, using=using, look=Look.FULL if is_full_look else Look.NEW)
    if state is None:
        history.begin(feed, using)
        return poll_state(feed, scopes, using=using)
    if not state.has_pending:
        if is_full_look:
            _pace.looked(place, is_complete=True)
        return state
    if not (is_full_look or _is_its_turn(place)):
        return state
    taken = None
    try:
        taken = settle(feed, using=using, is_full_look=is_full_look)
    except DatabaseError:  # read-only, a deadlock, no rights: the feed can still be read as it stands
        where = {"pollable_event": "settle-failed", "pollable_feed": feed.name, "pollable_database": using}
        logger.warning("%s could not be settled in '%s'", feed.name, using, exc_info=True, extra=where)
    if is_full_look:
        _pace.looked(place, is_complete=taken is not None and taken < conf.settle_batch)
    if taken is None:
        return state
    return read_state(feed, scopes, using=using, look=Look.NONE) or state


def settle(feed: FeedOptions, *, using: str, is_full_look: bool = True) -> int | None:
    """
    Number one batch of committed changes and return how many notes it took.

    Locks the feed's row until the transaction ends; returns None at once where it is locked, or where
    the transaction has begun before the newest numbers were given. On SQLite the triggers have done it
    already.
    """
    connection = connections[using]
    if connection.vendor == "sqlite":
        return 0
    has_begun = connection.in_atomic_block
    began_at = time.perf_counter()
    with transaction.atomic(using=using):
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                # A number that was served must survive a crash, whatever the writers risk.
                cursor.execute("SET LOCAL synchronous_commit = on")
        row = Feed.objects.using(using).select_for_update(skip_locked=True).filter(pk=feed.id).first()
        if row is None or (has_begun and _sees_the_past(row, connection)):
            return None
        above = 0 if is_full_look else row.settled_to
        pending = PendingChange.objects.using(using).filter(feed_id=feed.id, id__gt=above).order_by("id")
        columns = pending.values_list("id", "scope", "key", "removed", "via")
        notes = [Note(*values) for values in columns[: conf.settle_batch]]
        if not notes:
            return 0
        own, related, is_whole = _read(feed, notes, using)
        _number(row, _marks(feed, own, related, using), using)
        _forget([note.id for note in notes], using)
        row.settled_to = max(row.settled_to, notes[-1].id)
        row.save(using=using, update_fields=["sequence", "settled_to", "modified_at"])
        if is_whole:
            history.renew(feed, using, reason="table")

        def tell() -> None:
            seconds = time.perf_counter() - began_at
            changes_settled.send_robust(feed.model, using=using, count=len(notes), seconds=seconds)

        transaction.on_commit(tell, using=using)
    return len(notes)


def settle_all(feed: FeedOptions, *, using: str) -> int:
    """
    Number what is pending now, in batches, and return how many notes it took; later ones are left.

    Behind a full batch only newer notes are looked for: the database is slow to pass those that are gone.
    Where there is none nothing is locked: a lock is a write, and may wait for a standby.
    """
    return sum(settle_in_batches(feed, using=using))


def settle_in_batches(feed: FeedOptions, *, using: str) -> Iterator[int]:
    """Do the same, and yield how many notes each batch took: who stops in between has done what is told."""
    if not PendingChange.objects.using(using).filter(feed_id=feed.id).exists():
        return
    is_full_look = True
    while taken := settle(feed, using=using, is_full_look=is_full_look) or 0:
        yield taken
        is_last = taken < conf.settle_batch
        if is_last and is_full_look:
            break
        is_full_look = is_last


def primary_of(feed: FeedOptions, *, using: str) -> str:
    """Return the alias of the database that numbers what `using` shows: itself, unless it is only read."""
    return using if _may_write(feed, using) else router.db_for_write(feed.model)


def is_settling(feed: FeedOptions, *, using: str) -> bool:
    """
    Return whether a process numbers changes of `feed` now, as far as can be known.

    With synchronous replication standbys show its numbers while its commit waits for one of them.
    """
    if connections[using].vendor == "sqlite":
        return False
    try:
        with transaction.atomic(using=using):
            row = Feed.objects.using(using).select_for_update(skip_locked=True).filter(pk=feed.id).first()
            transaction.set_rollback(True, using=using)  # a commit would wait, too
    except DatabaseError:  # no rights
        return False
    return row is None


def _may_write(feed: FeedOptions, using: str) -> bool:
    """Return whether polls of `using` settle there: an alias that is only read may be a replica."""
    if using == router.db_for_write(feed.model):
        return True
    return feed.is_on(using) and not _pace.is_read_only(using, lambda: _is_read_only(connections[using]))


def _is_read_only(connection: BaseDatabaseWrapper) -> bool:
    if connection.vendor not in READ_ONLY:
        return False
    with connection.cursor() as cursor:
        cursor.execute(READ_ONLY[connection.vendor])
        return bool(cursor.fetchone()[0])


def _is_its_turn(place: tuple[str, int]) -> bool:
    return connections[place[0]].in_atomic_block or _pace.may_settle(place)


def _sees_the_past(row: Feed, connection: BaseDatabaseWrapper) -> bool:
    """
    Return whether the transaction reads an older state than that of the locked `row`.

    MySQL locks the newest row and reads as of the transaction's begin; PostgreSQL would have refused
    the lock. Numbers given there would be served with older rows.
    """
    if connection.vendor != "mysql":
        return False
    seen = Feed.objects.using(connection.alias).filter(pk=row.pk).values_list("epoch", "sequence").first()
    return seen != (row.epoch, row.sequence)


def _read(
    feed: FeedOptions, notes: Iterable[Note], using: str
) -> tuple[dict[tuple[str, str], bool], list[QuerySet[Any, Any]], bool]:
    """
    Return the objects that `notes` name, by scope and key; those that show the rows that others name;
    and whether any object may have changed: a whole table has, or a note is of models that are gone.
    """
    own: dict[tuple[str, str], bool] = {}
    keys: dict[str, dict[str, None]] = {}
    is_whole = False
    for note in notes:
        if note.via == "":
            own.pop((note.scope, note.key), None)
            own[note.scope, note.key] = note.removed
        elif note.via == WHOLE_TABLE:
            is_whole = True
        else:
            keys.setdefault(note.via, {})[note.key] = None
    related: list[QuerySet[Any, Any]] = []
    for via, named in keys.items():
        try:
            related.append(QuerySet(feed.model, using=using).filter(**{f"{via}__in": list(named)}))
        except (FieldError, ValidationError, ValueError, TypeError):
            where = {"pollable_event": "notes-unknown", "pollable_feed": feed.name, "pollable_database": using}
            logger.exception("%s has notes that it does not understand: it begins a new epoch", feed.name, extra=where)
            is_whole = True
    return own, related, is_whole


def _marks(
    feed: FeedOptions, own: dict[tuple[str, str], bool], related: Iterable[QuerySet[Any, Any]], using: str
) -> Iterator[Mark]:
    """Yield each changed object once a scope, in the order of the newest notes."""
    yield from ((scope, key, removed) for (scope, key), removed in own.items())
    connection = connections[using]
    names = [*feed.declaration.scope, *(field.name for field in feed.key.fields)]
    width = len(feed.declaration.scope)
    for objects in related:
        for values in objects.order_by().values_list(*names).distinct().iterator(chunk_size=conf.settle_batch):
            place = feed.scope.encode(values[:width], connection), feed.key.encode(values[width:], connection)
            if place not in own:
                own[place] = False
                yield (*place, False)


def _number(row: Feed, marks: Iterable[Mark], using: str) -> None:
    """Give each mark the feed's next sequence, a batch of rows at a time."""
    now = read_clock(using)
    heads: dict[str, int] = {}
    rows: list[tuple[Any, ...]] = []
    for scope, key, removed in marks:
        row.sequence += 1
        heads[scope] = row.sequence
        rows.append((row.id, key, scope, row.sequence, row.sequence, removed, now))
        if len(rows) == conf.settle_batch:
            upsert(CHANGE, rows, using)
            rows = []
    upsert(CHANGE, rows, using)
    row.modified_at = next_modified_at(row.modified_at, now // 1000)
    upsert(SCOPE, [(row.id, name, head, 0, "", row.modified_at) for name, head in heads.items()], using)


def _forget(ids: list[int], using: str) -> None:
    """Delete settled notes. MariaDB would scan the table for `IN`, and wait for every open writer."""
    connection = connections[using]
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            listed = " UNION ALL ".join(["SELECT %s AS id"] * len(ids))
            cursor.execute(
                f"DELETE p FROM ({listed}) d STRAIGHT_JOIN pollable_pendingchange p ON p.id = d.id",
                ids,
            )
        else:
            cursor.execute("DELETE FROM pollable_pendingchange WHERE id = ANY(%s)", [ids])
