"""The triggers that see every write: which a database should have, has, gets and loses."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from django_pollable.ledger import history
from django_pollable.ledger.options import FeedOptions, feeds
from django_pollable.ledger.tables import Feed
from django_pollable.ledger.triggers import mysql, postgresql, sqlite
from django_pollable.ledger.triggers.statements import SHARED, Trigger
from django_pollable.ledger.watches import watches

LOCK_ATTEMPTS = 10
LOCK_PAUSE_SECONDS = 1.0
"""How long those may write who have waited behind an attempt."""

OURS = re.compile("pollable_[0-9a-f]{8}_[0-9a-f]{12}_[a-z]")
"""The names of our triggers: others may begin like them."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What a database's triggers lack, and have too much, against the project's models."""

    missing: tuple[Trigger, ...] = ()
    stale: tuple[tuple[str, str], ...] = ()
    """Names and places."""
    waiting: tuple[str, ...] = ()
    """The feeds whose tables lack columns, or are not there: what they have is left alone."""
    untrusted: tuple[str, ...] = ()
    """The feeds whose triggers may have missed a change: `install` gives them a new epoch."""

    def __bool__(self) -> bool:
        return bool(self.missing or self.stale or self.waiting or self.untrusted)

    def lines(self) -> list[str]:
        """Return what is wrong, a line each."""
        return [
            *(f"missing: {trigger.name} on {trigger.table}" for trigger in self.missing),
            *(f"stale: {name} on {place}" for name, place in self.stale),
            *(f"waiting: {feed}, whose tables are not what the models say" for feed in self.waiting),
            *(f"untrusted: {feed}, which may have missed a change" for feed in self.untrusted),
        ]

    def of(self, feed: FeedOptions) -> Difference:
        """Return what concerns `feed`."""
        ids = feed.id, SHARED
        return Difference(
            tuple(trigger for trigger in self.missing if trigger.feed_id in ids),
            tuple((name, place) for name, place in self.stale if _feed_id(name) in ids),
            tuple(name for name in self.waiting if name == feed.name),
            tuple(name for name in self.untrusted if name == feed.name),
        )


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
    return _wanted(_feeds_on(using)[0], connections[using])


def compare(using: str) -> Difference:
    """Return what differs in the database `using`; reads no row of a tracked table."""
    connection = connections[using]
    standing, waiting = _feeds_on(using)
    present = _installed(connection)
    place = functools.cache(lambda table: dialect(connection).place(table, connection))
    wanted = {(trigger.name, place(trigger.table)): trigger for trigger in _wanted(standing, connection)}
    left_alone = {feed.id for feed in waiting}
    untrusted = history.untrusted(using) if standing else set()
    return Difference(
        tuple(trigger for key, trigger in wanted.items() if key not in present),
        tuple(sorted(key for key in present - wanted.keys() if _feed_id(key[0]) not in left_alone)),
        tuple(feed.name for feed in waiting),
        tuple(feed.name for feed in standing if feed.id in untrusted),
    )


def install(using: str, *, sleep: Callable[[float], object] = time.sleep) -> Difference:
    """
    Make the database's triggers what they should be, and return what differed.

    Each trigger waits for those who write to its table, and they for it, a few seconds at a time. A feed
    that has a history and lacked a trigger may have missed a change: it gets a new epoch, even if this is
    interrupted and done again.

    Raises:
        OperationalError: a table was held for too long. Its notes say which, and how to go on.
    """
    connection = connections[using]
    difference = compare(using)
    write = dialect(connection)
    gaps = {trigger.feed_id for trigger in difference.missing} | {_feed_id(name) for name, _ in difference.stale}
    standing, _ = _feeds_on(using)
    new = [feed for feed in standing if gaps & {feed.id, SHARED} and not history.distrust(feed, using)]
    for name, place in difference.stale:
        _execute(connection, place, write.drop(name, place, connection), sleep=sleep)
    for trigger in difference.missing:
        _execute(connection, trigger.table, trigger.create, sleep=sleep)
    untrusted = history.untrusted(using) if standing else set()
    for feed in standing:
        history.begin(feed, using)
        if feed.id in untrusted:
            history.renew(feed, using, is_first=feed in new, reason="triggers")
    return difference


def drop(using: str, tables: Iterable[str] | None = None) -> None:
    """Drop the triggers of the feeds that have one on a table of `tables`, or all; `install` gives them a new epoch."""
    connection = connections[using]
    write = dialect(connection)
    present = _installed(connection, is_disabled_too=True)
    if tables is not None:
        places = {write.place(table, connection) for table in tables}
        chosen = {_feed_id(name) for name, place in present if place in places}
        present = {(name, place) for name, place in present if _feed_id(name) in chosen}
    for name, place in sorted(present):
        _execute(connection, place, write.drop(name, place, connection))


def _wanted(feeds: Iterable[FeedOptions], connection: BaseDatabaseWrapper) -> list[Trigger]:
    write = dialect(connection)
    found: list[Trigger] = []
    for feed in feeds:
        found += write.own(feed, connection)
        for watch in watches(feed):
            found += write.watched(feed, watch, connection)
    return [*write.shared(connection), *found] if found else found


def _feeds_on(using: str) -> tuple[list[FeedOptions], list[FeedOptions]]:
    """Return the feeds whose tables stand complete in the database `using`, and those whose do not yet."""
    connection = connections[using]
    found: tuple[list[FeedOptions], list[FeedOptions]] = [], []
    if Feed._meta.db_table in connection.introspection.table_names():
        for feed in feeds():
            if feed.is_on(using):
                found[not _is_complete(feed, connection)].append(feed)
    return found


def _is_complete(feed: FeedOptions, connection: BaseDatabaseWrapper) -> bool:
    """Return whether every table and column is there: `migrate` may have stopped on the way."""
    columns = {feed.model._meta.db_table: {str(field.column) for field in feed.model._meta.local_concrete_fields}}
    for watch in watches(feed):
        names = {watch.column, *(str(field.column) for field in watch.compared)}
        columns.setdefault(watch.table, set()).update(names)
    return all(_answers(table, names, connection) for table, names in columns.items())


def _answers(table: str, columns: Iterable[str], connection: BaseDatabaseWrapper) -> bool:
    """Return whether `table` has `columns`: the database resolves names as it will for the triggers."""
    quote = connection.ops.quote_name
    names = ", ".join(f"t.{quote(column)}" for column in columns)
    try:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute(f"SELECT {names} FROM {quote(table)} t WHERE 1 = 0")
    except DatabaseError:
        return False
    return True


def _installed(connection: BaseDatabaseWrapper, *, is_disabled_too: bool = False) -> set[tuple[str, str]]:
    found = dialect(connection).installed(connection, is_disabled_too=is_disabled_too)
    return {(name, table) for name, table in found if OURS.fullmatch(name)}


def _feed_id(name: str) -> int:
    return int(name.split("_")[1], 16)


def _execute(
    connection: BaseDatabaseWrapper,
    table: str,
    statements: Iterable[str],
    *,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Run the statements in one transaction that waits for writers only briefly, again if need be."""
    write = dialect(connection)
    for attempt in range(LOCK_ATTEMPTS):
        if attempt:
            sleep(LOCK_PAUSE_SECONDS)
        try:
            with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
                for statement in (*write.LOCK_TIMEOUT, *statements):
                    cursor.execute(statement)
        except OperationalError as error:
            if attempt == LOCK_ATTEMPTS - 1 or connection.in_atomic_block:
                error.add_note(
                    f"The triggers of {table} are not all what they should be: `manage.py pollable install` goes on."
                )
                raise
        else:
            return
        finally:
            if write.LOCK_TIMEOUT_BACK and not connection.needs_rollback:
                with connection.cursor() as cursor:
                    cursor.execute(write.LOCK_TIMEOUT_BACK)
