"""
Row-level triggers for SQLite, which number a change at once.

SQLite has one writer at a time, so that the order of writes is the order of commits. Notes go to a
view whose trigger gives the number: polls never write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import RawSQL
from django.db.models.sql.compiler import SQLCompiler

from django_pollable.ledger.keys import Field, KeyFields
from django_pollable.ledger.options import FeedOptions
from django_pollable.ledger.state import AHEAD_SECONDS, CLOCK
from django_pollable.ledger.triggers.statements import SHARED, Trigger, text_sql, trigger
from django_pollable.ledger.watches import Watch

LOCK_TIMEOUT = ()
LOCK_TIMEOUT_BACK = ""

VIEW = "pollable_note"

_MODIFIED = (
    f"modified_at = CASE WHEN modified_at = excluded.modified_at + {AHEAD_SECONDS + 1} THEN modified_at"
    " ELSE max(excluded.modified_at, modified_at + 1) END"
)
_NUMBER = f"""
    INSERT INTO pollable_feed (id, name, epoch, sequence, horizon, settled_to, modified_at, pruned_before)
    VALUES (NEW.feed_id, NEW.name, lower(hex(randomblob(6))), 1, 0, 0, {CLOCK["sqlite"]} / 1000, {CLOCK["sqlite"]})
    ON CONFLICT (id) DO UPDATE SET sequence = sequence + 1, {_MODIFIED};
    INSERT INTO pollable_change (feed_id, "key", scope, sequence, first_sequence, removed, changed_at)
    SELECT id, NEW."key", NEW.scope, sequence, sequence, NEW.removed, {CLOCK["sqlite"]}
    FROM pollable_feed WHERE id = NEW.feed_id
    ON CONFLICT (feed_id, "key", scope) DO UPDATE SET
    first_sequence = CASE WHEN removed THEN excluded.first_sequence ELSE first_sequence END,
    sequence = excluded.sequence, removed = excluded.removed, changed_at = excluded.changed_at;
    INSERT INTO pollable_scope (feed_id, name, sequence, horizon, horizon_key, modified_at)
    SELECT id, NEW.scope, sequence, 0, '', modified_at FROM pollable_feed WHERE id = NEW.feed_id
    ON CONFLICT (feed_id, name) DO UPDATE SET sequence = excluded.sequence, modified_at = excluded.modified_at;
"""
_FORGET = """
    DELETE FROM pollable_change WHERE feed_id = OLD.id;
    DELETE FROM pollable_scope WHERE feed_id = OLD.id;
"""


def shared(connection: BaseDatabaseWrapper) -> list[Trigger]:
    """Return what numbers the notes of all feeds, and what forgets the history of a feed that is gone."""

    def number(name: str) -> Sequence[str]:
        return (
            f"DROP VIEW IF EXISTS {VIEW}",
            f"CREATE VIEW {VIEW} AS SELECT 0 AS feed_id, '' AS name, '' AS scope, '' AS \"key\", 0 AS removed",
            f'CREATE TRIGGER "{name}" INSTEAD OF INSERT ON {VIEW} BEGIN {_NUMBER} END',
        )

    def forget(name: str) -> Sequence[str]:
        return (f'CREATE TRIGGER "{name}" AFTER DELETE ON pollable_feed BEGIN {_FORGET} END',)

    return [trigger(SHARED, VIEW, "number", "", number), trigger(SHARED, "pollable_feed", "forget", "", forget)]


def own(feed: FeedOptions, connection: BaseDatabaseWrapper) -> list[Trigger]:
    """Return the triggers on the feed's own table; an UPDATE that changes no column is no change."""

    def note(row: str, removed: int, condition: str = "1") -> str:
        scope, key = _text(feed.scope, row, connection), _text(feed.key, row, connection)
        return f"INSERT INTO {VIEW} SELECT {feed.id}, {_name(feed)}, {scope}, {key}, {removed} WHERE {condition}"

    left = _differ(feed.key.fields + feed.scope.fields, connection)
    changed = _differ(tuple(feed.model._meta.local_concrete_fields), connection)
    bodies = {
        "INSERT": note("NEW", 0),
        "UPDATE": f"{note('OLD', 1, left)}; {note('NEW', 0, changed)}",
        "DELETE": note("OLD", 1),
    }
    return [_trigger(feed, feed.model._meta.db_table, event, "", body, connection) for event, body in bodies.items()]


def watched(feed: FeedOptions, watch: Watch, connection: BaseDatabaseWrapper) -> list[Trigger]:
    """Return the triggers on a table that the feed follows: they note the objects that show the row."""
    table = connection.ops.quote_name(feed.model._meta.db_table)
    column = connection.ops.quote_name(watch.column)
    scope, key = _text(feed.scope, table, connection), _text(feed.key, table, connection)

    def note(row: str, condition: str = "1") -> str:
        shown = _objects(feed, watch.via, f"{row}.{column}", connection)
        names = ", ".join(f"{table}.{connection.ops.quote_name(str(field.column))}" for field in feed.key.fields)
        return (
            f"INSERT INTO {VIEW} SELECT {feed.id}, {_name(feed)}, {scope}, {key}, 0 FROM {table}"
            f" WHERE ({names}) IN ({shown}) AND {condition}"
        )

    changed = _differ(watch.compared, connection)
    moved = f"NEW.{column} IS NOT OLD.{column}"
    bodies = {"UPDATE": f"{note('NEW', changed)}; {note('OLD', moved)}", "DELETE": note("OLD")}
    if watch.notes_inserts:
        bodies["INSERT"] = note("NEW")
    return [_trigger(feed, watch.table, event, watch.path, body, connection) for event, body in bodies.items()]


def installed(connection: BaseDatabaseWrapper, *, is_disabled_too: bool = False) -> set[tuple[str, str]]:
    """Return the names and places of our triggers: none can be disabled."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'pollable\\_%%' ESCAPE '\\'"
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
        return (f"CREATE TRIGGER {quote(name)} AFTER {event}{on} BEGIN {body}; END",)

    return trigger(feed.id, table, event, path, create)


def _name(feed: FeedOptions) -> str:
    quoted = feed.name.replace("'", "''")
    return f"'{quoted}'"


def _objects(feed: FeedOptions, via: str, value: str, connection: BaseDatabaseWrapper) -> str:
    """Return the ORM's SQL for the primary keys of the objects that the look-up `via` finds by `value`."""
    expression: RawSQL = RawSQL(value, ())
    objects: models.QuerySet[Any, Any] = models.QuerySet(feed.model, using=connection.alias).filter(**{via: expression})
    query = objects.order_by().values(*[field.attname for field in feed.key.fields]).query
    compiler: SQLCompiler = query.get_compiler(connection=connection)
    sql, _ = compiler.as_sql()
    return sql


def _differ(fields: Sequence[Field], connection: BaseDatabaseWrapper) -> str:
    columns = [connection.ops.quote_name(str(field.column)) for field in fields]
    return "(" + " OR ".join(f"NEW.{column} COLLATE BINARY IS NOT OLD.{column}" for column in columns) + ")"


def _text(keys: KeyFields, row: str, connection: BaseDatabaseWrapper) -> str:
    def cast(field: Field, column: str) -> str:
        return f"CAST({column} AS TEXT)"

    return text_sql(keys, row, connection, cast=cast, concat="||")
