"""Row-level triggers for MySQL and MariaDB: `INSERT ... VALUES` only, which takes no table lock."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.backends.base.base import BaseDatabaseWrapper

from django_pollable.ledger.keys import Field, KeyFields, own_field
from django_pollable.ledger.options import FeedOptions
from django_pollable.ledger.tables import PendingChange
from django_pollable.ledger.triggers.statements import Trigger, text_sql, trigger
from django_pollable.ledger.watches import Watch

LOCK_TIMEOUT = ("SET @pollable_wait = @@SESSION.lock_wait_timeout", "SET SESSION lock_wait_timeout = 5")
LOCK_TIMEOUT_BACK = "SET SESSION lock_wait_timeout = @pollable_wait"

_PLAIN = ("Auto", "Integer", "Date", "Time", "Boolean", "Float", "UUID", "Duration", "ForeignKey", "OneToOne")


def shared(connection: BaseDatabaseWrapper) -> list[Trigger]:
    """Return the triggers that serve all feeds: none."""
    return []


def own(feed: FeedOptions, connection: BaseDatabaseWrapper) -> list[Trigger]:
    """Return the triggers on the feed's own table; an UPDATE that changes no column is no change."""
    fields = tuple(feed.model._meta.local_concrete_fields)

    def note(row: str, removed: int) -> str:
        scope, key = _text(feed.scope, row, connection), _text(feed.key, row, connection)
        return _insert(f"{feed.id}, {scope}, {key}, {removed}, ''", connection)

    left = _differ(feed.key.fields + feed.scope.fields, connection)
    bodies = {
        "INSERT": note("NEW", 0),
        "UPDATE": f"IF {left} THEN {note('OLD', 1)}; END IF;"
        f" IF {_differ(fields, connection)} THEN {note('NEW', 0)}; END IF",
        "DELETE": note("OLD", 1),
    }
    return [_trigger(feed, feed.model._meta.db_table, event, "", body, connection) for event, body in bodies.items()]


def watched(feed: FeedOptions, watch: Watch, connection: BaseDatabaseWrapper) -> list[Trigger]:
    """Return the triggers on a table that the feed follows."""
    column = connection.ops.quote_name(watch.column)

    def note(row: str, condition: str = "") -> str:
        values = f"{feed.id}, '', {_cast(watch.keys.fields[0], f'{row}.{column}')}, 0, '{watch.via}'"
        return f"IF {row}.{column} IS NOT NULL{condition} THEN {_insert(values, connection)}; END IF"

    moved = f" AND NOT (NEW.{column} <=> OLD.{column})"
    changed = _differ(watch.compared, connection)
    bodies = {"UPDATE": f"IF {changed} THEN {note('NEW')}; {note('OLD', moved)}; END IF", "DELETE": note("OLD")}
    if watch.notes_inserts:
        bodies["INSERT"] = note("NEW")
    return [_trigger(feed, watch.table, event, watch.path, body, connection) for event, body in bodies.items()]


def installed(connection: BaseDatabaseWrapper, *, is_disabled_too: bool = False) -> set[tuple[str, str]]:
    """Return the names and places of our triggers: none can be disabled."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT trigger_name, event_object_table FROM information_schema.triggers"
            " WHERE trigger_schema = DATABASE() AND trigger_name LIKE 'pollable\\_%%'"
        )
        return {(name, table.lower()) for name, table in cursor.fetchall()}


def place(table: str, connection: BaseDatabaseWrapper) -> str:
    """Return the table's name as `installed` gives it."""
    return table.lower()


def drop(name: str, place: str, connection: BaseDatabaseWrapper) -> Sequence[str]:
    """Return what drops a trigger."""
    return (f"DROP TRIGGER IF EXISTS {connection.ops.quote_name(name)}",)


def _trigger(
    feed: FeedOptions, table: str, event: str, path: str, body: str, connection: BaseDatabaseWrapper
) -> Trigger:
    quote = connection.ops.quote_name

    def create(name: str) -> tuple[str, ...]:
        on = f" ON {quote(table)}" if name else ""
        return (f"CREATE TRIGGER {quote(name)} AFTER {event}{on} FOR EACH ROW BEGIN {body}; END",)

    return trigger(feed.id, table, event, path, create)


def _insert(values: str, connection: BaseDatabaseWrapper) -> str:
    columns = ", ".join(map(connection.ops.quote_name, ("feed_id", "scope", "key", "removed", "via")))
    return f"INSERT INTO {connection.ops.quote_name(PendingChange._meta.db_table)} ({columns}) VALUES ({values})"


def _differ(fields: Sequence[Field], connection: BaseDatabaseWrapper) -> str:
    """Return SQL that is true where a column of NEW is not that of OLD, byte by byte."""
    same = []
    for field in fields:
        old, new = (f"{row}.{connection.ops.quote_name(str(field.column))}" for row in ("OLD", "NEW"))
        if not own_field(field).get_internal_type().removesuffix("Field").endswith(_PLAIN):
            old, new = f"CAST({old} AS BINARY)", f"CAST({new} AS BINARY)"
        same.append(f"{new} <=> {old}")
    return f"NOT ({' AND '.join(same)})"


def _text(keys: KeyFields, row: str, connection: BaseDatabaseWrapper) -> str:
    return text_sql(keys, row, connection, cast=_cast, concat="concat")


def _cast(field: Field, column: str) -> str:
    return f"CONVERT({column} USING utf8mb4)"
