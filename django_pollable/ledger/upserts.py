"""Many rows of the ledger in one statement, without a model instance a row."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db import connections


class Table(NamedTuple):
    """What an upsert has to know of a table."""

    name: str
    columns: tuple[str, ...]
    unique: tuple[str, ...]
    renewed: dict[str, str]
    """What each column becomes where the row is there: SQL of `{old}`, the row, and `{new}`, the column's new value."""


NEW = "{new}"

CHANGE = Table(
    "pollable_change",
    ("feed_id", "key", "scope", "sequence", "first_sequence", "removed", "changed_at"),
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
    ("feed_id", "name", "sequence", "horizon", "horizon_key", "modified_at"),
    ("feed_id", "name"),
    {"sequence": NEW, "modified_at": NEW},
)


def upsert(table: Table, rows: list[tuple[Any, ...]], using: str) -> None:
    """Insert `rows` (a value a column), or renew what is there."""
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
        new, conflict = "VALUES({column})", "ON DUPLICATE KEY UPDATE"
    else:
        new, conflict = "excluded.{column}", f"ON CONFLICT ({', '.join(map(quote, table.unique))}) DO UPDATE SET"
    renewal = ", ".join(
        f"{quote(name)} = {becomes.format(old=quote(table.name), new=new.format(column=quote(name)))}"
        for name, becomes in table.renewed.items()
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {quote(table.name)} ({columns}) VALUES {values} {conflict} {renewal}",
            [value for row in rows for value in row if isinstance(value, str)],
        )
