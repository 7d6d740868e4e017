"""Statement-level triggers with transition tables: one note a changed row, one call a statement."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.db.backends.base.base import BaseDatabaseWrapper

from django_pollable.ledger.keys import Field, KeyFields
from django_pollable.ledger.options import FeedOptions
from django_pollable.ledger.tables import PendingChange
from django_pollable.ledger.triggers.statements import Trigger, text_sql, trigger
from django_pollable.ledger.watches import Watch

LOCK_TIMEOUT = ("SET LOCAL lock_timeout = '2s'",)
LOCK_TIMEOUT_BACK = ""

OLD, NEW = "pollable_old", "pollable_new"
"""Aliases that no column is likely to have: a column would hide the row of that name."""

TRANSITIONS = {
    "INSERT": "REFERENCING NEW TABLE AS new_rows",
    "UPDATE": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "DELETE": "REFERENCING OLD TABLE AS old_rows",
    "TRUNCATE": "",
}


def shared(connection: BaseDatabaseWrapper) -> list[Trigger]:
    """Return the triggers that serve all feeds: none."""
    return []


def own(feed: FeedOptions, connection: BaseDatabaseWrapper) -> list[Trigger]:
    """
    Return the triggers on the feed's own table.

    A row that an UPDATE leaves as it was is no change: rows are compared as text, so that the
    function names no column but those of the key and the scope, and survives schema changes.
    """

    def names(row: str) -> str:
        return f"{_text(feed.scope, row, connection)} AS scope, {_text(feed.key, row, connection)} AS key"

    def note(removed: str, source: str) -> str:
        return f"SELECT {feed.id}, r.scope, r.key, {removed}, '' FROM ({source}) r"

    both = (
        f'SELECT {names(OLD)}, {OLD}::text COLLATE "C" AS text, true AS was FROM old_rows {OLD}'
        f" UNION ALL SELECT {names(NEW)}, {NEW}::text, false FROM new_rows {NEW}"
    )
    changed = " GROUP BY r.scope, r.key HAVING count(*) = 1 OR min(r.text) <> max(r.text)"
    notes = {
        "INSERT": note("false", f"SELECT {names(NEW)} FROM new_rows {NEW}"),
        "UPDATE": note("bool_and(r.was)", both) + changed,
        "DELETE": note("true", f"SELECT {names(OLD)} FROM old_rows {OLD}"),
        "TRUNCATE": f"SELECT {feed.id}, '', '', true, '*'",
    }
    return _triggers(feed, feed.model._meta.db_table, "", notes, connection)


def watched(feed: FeedOptions, watch: Watch, connection: BaseDatabaseWrapper) -> list[Trigger]:
    """Return the triggers on a table that the feed follows."""

    def key(row: str) -> str:
        return f'{row}.{connection.ops.quote_name(watch.column)}::text COLLATE "C" AS key'

    def note(source: str) -> str:
        return f"SELECT DISTINCT {feed.id}, '', r.key, false, '{watch.via}' FROM ({source}) r WHERE r.key IS NOT NULL"

    old, new = f"{key(OLD)}, {OLD}::text FROM old_rows {OLD}", f"{key(NEW)}, {NEW}::text FROM new_rows {NEW}"
    changed = f"(SELECT {new} EXCEPT ALL SELECT {old}) UNION ALL (SELECT {old} EXCEPT ALL SELECT {new})"
    notes = {
        "UPDATE": note(changed),
        "DELETE": note(f"SELECT {key(OLD)} FROM old_rows {OLD}"),
        "TRUNCATE": f"SELECT {feed.id}, '', '', true, '*'",
    }
    if watch.notes_inserts:
        notes["INSERT"] = note(f"SELECT {key(NEW)} FROM new_rows {NEW}")
    return _triggers(feed, watch.table, watch.path, notes, connection)


def installed(connection: BaseDatabaseWrapper, *, is_disabled_too: bool = False) -> set[tuple[str, str]]:
    """Return the names and places of our triggers that are in force, or of all: those of this ledger."""
    states = "DORA" if is_disabled_too else "OA"
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.tgname, t.tgrelid::regclass::text FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid"
            " WHERE NOT t.tgisinternal AND t.tgname LIKE 'pollable\\_%%' AND t.tgenabled = ANY(%s::\"char\"[])"
            " AND p.pronamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass(%s))",
            [list(states), PendingChange._meta.db_table],
        )
        return set(cursor.fetchall())


def place(table: str, connection: BaseDatabaseWrapper) -> str:
    """Return the table's name as `installed` gives it: SQL, with its schema where it needs one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)::text", [connection.ops.quote_name(table)])
        (found,) = cursor.fetchone()
    return str(found or table)


def drop(name: str, place: str, connection: BaseDatabaseWrapper) -> Sequence[str]:
    """Return what drops a trigger and its function."""
    quote = connection.ops.quote_name
    return (
        f"DROP TRIGGER IF EXISTS {quote(name)} ON {place}",
        f"DROP FUNCTION IF EXISTS {_schema(connection)}.{quote(name)}()",
    )


def _triggers(
    feed: FeedOptions, table: str, path: str, notes: dict[str, str], connection: BaseDatabaseWrapper
) -> list[Trigger]:
    schema = _schema(connection)
    return [
        trigger(feed.id, table, event, path, _creator(schema, table, event, select, connection))
        for event, select in notes.items()
    ]


def _creator(
    schema: str, table: str, event: str, select: str, connection: BaseDatabaseWrapper
) -> Callable[[str], Sequence[str]]:
    quote = connection.ops.quote_name
    pending = f"{schema}.{quote(PendingChange._meta.db_table)}"

    def create(name: str) -> tuple[str, ...]:
        function = f"{schema}.{quote(name)}"
        body = (
            f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql"
            f" SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET extra_float_digits = 1 AS $pollable$ BEGIN"
            f" INSERT INTO {pending} (feed_id, scope, key, removed, via) {select}; RETURN NULL; END $pollable$"
        )
        if not name:  # the table is no part of the digest: a renamed one keeps its triggers
            return (body,)
        return (
            body,
            f"DROP TRIGGER IF EXISTS {quote(name)} ON {quote(table)}",
            f"CREATE TRIGGER {quote(name)} AFTER {event} ON {quote(table)} {TRANSITIONS[event]}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
        )

    return create


def _text(keys: KeyFields, row: str, connection: BaseDatabaseWrapper) -> str:
    def cast(field: Field, column: str) -> str:
        return f'{column}::text COLLATE "C"'

    return text_sql(keys, row, connection, cast=cast, concat="||")


def _schema(connection: BaseDatabaseWrapper) -> str:
    """Return the schema of the ledger: names are qualified, writers may have another search path."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.oid = to_regclass(%s)",
            [PendingChange._meta.db_table],
        )
        (schema,) = cursor.fetchone()
    return connection.ops.quote_name(schema)
