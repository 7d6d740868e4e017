"""What the three dialects share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2s

from django.db.backends.base.base import BaseDatabaseWrapper

from django_pollable.ledger.keys import ESCAPES, NULL, SEPARATOR, Field, KeyFields

SHARED = 0
"""Stands for a feed's id where a trigger serves all feeds."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger, and what creates it; its name tells its feed and a digest of its text."""

    feed_id: int
    name: str
    table: str
    create: tuple[str, ...]


def trigger(feed_id: int, table: str, event: str, path: str, create: Callable[[str], Sequence[str]]) -> Trigger:
    """Return the trigger whose statements `create` writes for a given name."""
    text = "\n".join([path, *create("")])
    name = f"pollable_{feed_id:08x}_{blake2s(text.encode(), digest_size=6).hexdigest()}_{event[0].lower()}"
    return Trigger(feed_id, name, table, tuple(create(name)))


def text_sql(
    keys: KeyFields, row: str, connection: BaseDatabaseWrapper, *, cast: Callable[[Field, str], str], concat: str
) -> str:
    """Return SQL for the text that `KeyFields.encode` makes of the columns of `row` (`NEW`, `o`)."""
    parts = []
    for field in keys.fields:
        sql = cast(field, f"{row}.{connection.ops.quote_name(str(field.column))}")
        if keys.escapes(field):
            for character, escaped in ESCAPES:
                sql = f"replace({sql}, '{character}', '{escaped}')"
        parts.append(f"coalesce({sql}, '{NULL}')" if field.null else sql)
    if not parts:
        return "''"
    if len(parts) == 1:
        return parts[0]
    glue = f", '{SEPARATOR}', " if concat == "concat" else f" || '{SEPARATOR}' || "
    joined = glue.join(parts)
    return f"concat({joined})" if concat == "concat" else joined
