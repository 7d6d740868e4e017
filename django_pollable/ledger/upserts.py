"""Many rows of the ledger in one statement, without a model instance a row. SQLite's triggers need none."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper


class Table(NamedTuple):
    """What an upsert has to know of a table."""

    name: str
    columns: dict[str, str]
    """Each column's type in PostgreSQL."""
    unique: tuple[str, ...]
    renewed: dict[str, str]
    """What each column becomes where the row is there: SQL of `{old}`, the row, and `{new}`, the column's new value."""


NEW = "{new}"

CHANGE = Table(
    "pollable_change",
    {
        "feed_id": "integer",
        "key": "text",
        "scope": "text",
        "sequence": "bigint",
        "first_sequence": "bigint",
        "removed": "boolean",
        "changed_at": "bigint",
    },
    ("feed_id", "key", "scope"),
    {
        # before `removed`: MySQL assigns from left to right
        "first_sequence": "CASE WHEN {old}.removed THEN {new} ELSE {old}.first_sequence END",
        "sequence": NEW,
        "removed": NEW,
        "changed_at": NEW,
    },
)
SCOPE = Table(
    "pollable_scope",
    {
        "feed_id": "integer",
        "name": "text",
        "sequence": "bigint",
        "horizon": "bigint",
        "horizon_key": "text",
        "modified_at": "bigint",
    },
    ("feed_id", "name"),
    {"sequence": NEW, "modified_at": NEW},
)


def upsert(table: Table, rows: list[tuple[Any, ...]], using: str) -> None:
    """Insert `rows` (a value a column), or renew what is there."""
    if not rows:
        return
    connection = connections[using]
    write = _mysql if connection.vendor == "mysql" else _postgresql
    statement, parameters = write(table, rows, connection)
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def _postgresql(
    table: Table, rows: list[tuple[Any, ...]], connection: BaseDatabaseWrapper
) -> tuple[str, list[list[Any]]]:
    """An array a column: neither driver nor server takes its time over thousands of parameters."""
    quote = connection.ops.quote_name
    arrays = ", ".join(f"%s::{kind}[]" for kind in table.columns.values())
    renewal = _renewal(table, "excluded.{column}", connection)
    return (
        f"{_insert(table, connection)} SELECT * FROM unnest({arrays})"
        f" ON CONFLICT ({', '.join(map(quote, table.unique))}) DO UPDATE SET {renewal}",
        [list(column) for column in zip(*rows, strict=True)],
    )


def _mysql(table: Table, rows: list[tuple[Any, ...]], connection: BaseDatabaseWrapper) -> tuple[str, list[str]]:
    """Numbers stand in the statement itself, which leaves fewer parameters."""
    values = ", ".join(
        f"({', '.join('%s' if isinstance(value, str) else str(value) for value in row)})" for row in rows
    )
    renewal = _renewal(table, "VALUES({column})", connection)
    return (
        f"{_insert(table, connection)} VALUES {values} ON DUPLICATE KEY UPDATE {renewal}",
        [value for row in rows for value in row if isinstance(value, str)],
    )


def _insert(table: Table, connection: BaseDatabaseWrapper) -> str:
    columns = ", ".join(map(connection.ops.quote_name, table.columns))
    return f"INSERT INTO {connection.ops.quote_name(table.name)} ({columns})"


def _renewal(table: Table, new: str, connection: BaseDatabaseWrapper) -> str:
    quote = connection.ops.quote_name
    return ", ".join(
        f"{quote(name)} = {becomes.format(old=quote(table.name), new=new.format(column=quote(name)))}"
        for name, becomes in table.renewed.items()
    )
