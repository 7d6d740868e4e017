"""The triggers that see every write: which a database should have, has, gets and loses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType

from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from django_pollable.ledger import history
from django_pollable.ledger.options import FeedOptions, feeds, watches
from django_pollable.ledger.tables import Feed
from django_pollable.ledger.triggers import mysql, postgresql, sqlite
from django_pollable.ledger.triggers.statements import SHARED, Trigger

LOCK_ATTEMPTS = 10

OURS = re.compile("pollable_[0-9a-f]{8}_[0-9a-f]{12}_[a-z]")
"""The names of our triggers: others may begin like them."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What a database's triggers lack, and have too much, against the project's models."""

    missing: tuple[Trigger, ...]
    stale: tuple[tuple[str, str], ...]
    """Names and tables."""

    def __bool__(self) -> bool:
        return bool(self.missing or self.stale)


def dialect(connection: BaseDatabaseWrapper) -> ModuleType:
    """
    Return the module that writes triggers for `connection`.

    Raises:
        ImproperlyConfigured: the database is none of PostgreSQL, MySQL, MariaDB and SQLite.
    """
    found = {"postgresql": postgresql, "mysql": mysql, "sqlite": sqlite}.get(connection.vendor)
    if found is None:
        raise ImproperlyConfigured(f"django_pollable has no triggers for {connection.display_name}.")
    return found


def expected(using: str) -> list[Trigger]:
    """Return the triggers that the database `using` should have, for the tables it has."""
    connection = connections[using]
    write = dialect(connection)
    found: list[Trigger] = []
    for feed in _feeds_on(using):
        found += write.own(feed, connection)
        for watch in watches(feed):
            found += write.watched(feed, watch, connection)
    return [*write.shared(connection), *found] if found else found


def compare(using: str) -> Difference:
    """Return what differs in the database `using`; reads only its catalogue."""
    connection = connections[using]
    present = _installed(connection)
    wanted = {(trigger.name, trigger.table): trigger for trigger in expected(using)}
    missing = tuple(trigger for key, trigger in wanted.items() if key not in present)
    return Difference(missing, tuple(sorted(present - wanted.keys())))


def install(using: str) -> Difference:
    """
    Make the database's triggers what they should be, and return what differed.

    A feed that has a history and lacked a trigger may have missed a change: it gets a new epoch.
    """
    connection = connections[using]
    difference = compare(using)
    write = dialect(connection)
    if difference:
        for name, table in difference.stale:
            _execute(connection, write.drop(name, table, connection))
        for trigger in difference.missing:
            _execute(connection, trigger.create)
    gaps = {trigger.feed_id for trigger in difference.missing} | {_feed_id(name) for name, _ in difference.stale}
    for feed in _feeds_on(using):
        _record(feed, using, has_gap=bool(gaps & {feed.id, SHARED}))
    return difference


def drop(using: str, feed_ids: Iterable[int] | None = None) -> None:
    """Drop the triggers of the feeds `feed_ids`, or all; `install` gives those feeds a new epoch."""
    connection = connections[using]
    write = dialect(connection)
    chosen = None if feed_ids is None else set(feed_ids)
    for name, table in sorted(_installed(connection, is_disabled_too=True)):
        if chosen is None or _feed_id(name) in chosen:
            _execute(connection, write.drop(name, table, connection))


def _record(feed: FeedOptions, using: str, *, has_gap: bool) -> None:
    if not Feed.objects.using(using).filter(pk=feed.id).exists():
        history.begin(feed, using)
    elif has_gap:
        history.renew(feed, using)


def _feeds_on(using: str) -> Iterator[FeedOptions]:
    """Yield the feeds whose tables stand complete in the database `using`."""
    connection = connections[using]
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
        if Feed._meta.db_table not in tables:
            return
        for feed in feeds():
            if feed.is_on(using) and _is_complete(feed, tables, connection):
                yield feed


def _is_complete(feed: FeedOptions, tables: set[str], connection: BaseDatabaseWrapper) -> bool:
    """Return whether every table and column is there: `migrate` may have stopped on the way."""
    columns = {feed.model._meta.db_table: {field.column for field in feed.model._meta.local_concrete_fields}}
    for watch in watches(feed):
        columns.setdefault(watch.table, set()).update({watch.column}, {field.column for field in watch.compared})
    if not columns.keys() <= tables:
        return False
    with connection.cursor() as cursor:
        return all(
            {str(column) for column in wanted}
            <= {row.name for row in connection.introspection.get_table_description(cursor, table)}
            for table, wanted in columns.items()
        )


def _installed(connection: BaseDatabaseWrapper, *, is_disabled_too: bool = False) -> set[tuple[str, str]]:
    found = dialect(connection).installed(connection, is_disabled_too=is_disabled_too)
    return {(name, table) for name, table in found if OURS.fullmatch(name)}


def _feed_id(name: str) -> int:
    return int(name.split("_")[1], 16)


def _execute(connection: BaseDatabaseWrapper, statements: Iterable[str]) -> None:
    """Run the statements in one transaction that waits for writers only briefly, again if need be."""
    write = dialect(connection)
    for attempt in range(LOCK_ATTEMPTS):
        try:
            with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
                for statement in (*write.LOCK_TIMEOUT, *statements):
                    cursor.execute(statement)
        except OperationalError:
            if attempt == LOCK_ATTEMPTS - 1 or connection.in_atomic_block:
                raise
        else:
            return
        finally:
            if write.LOCK_TIMEOUT_BACK and not connection.needs_rollback:
                with connection.cursor() as cursor:
                    cursor.execute(write.LOCK_TIMEOUT_BACK)
