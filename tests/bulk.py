"""Rows in bulk, by SQL: a table of a million takes seconds."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import connection

from django_pollable.ledger import triggers

NUMBERS = {
    "postgresql": "SELECT generate_series({first}, {last}) AS n",
    "mysql": "SELECT seq AS n FROM seq_{first}_to_{last}",
    "sqlite": "WITH RECURSIVE s(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM s WHERE n < {last}) SELECT n FROM s",
}


def insert(table: str, columns: Mapping[str, str], *, first: int = 1, last: int) -> None:
    """Insert rows whose `columns` are SQL of `n`, which goes from `first` to `last`."""
    quote = connection.ops.quote_name
    names = ", ".join(map(quote, columns))
    numbers = NUMBERS[connection.vendor].format(first=first, last=last)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {quote(table)} ({names}) SELECT {', '.join(columns.values())} FROM ({numbers}) numbers"
        )


def adopt(table: str, columns: Mapping[str, str], *, first: int = 1, last: int) -> None:
    """Insert the same while there are no triggers, as tables are adopted that stood before."""
    triggers.drop("default")
    insert(table, columns, first=first, last=last)
    triggers.install("default")
