"""A token and its user in one statement, whose text the ORM makes once a database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from django.core.exceptions import FieldDoesNotExist
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import ForeignKey, Manager, Model, QuerySet
from django.db.models.lookups import Exact

Row = tuple[Any, ...]
"""The values of a token's fields, and then those of its user's."""


def is_plain(model: type[Model]) -> bool:
    """Return whether nothing but its unique `key` says which token of `model` is asked for, and whose it is."""
    try:
        key: Any = model._meta.get_field("key")
        user = model._meta.get_field("user")
    except FieldDoesNotExist:
        return False
    manager = model.objects  # type: ignore[attr-defined]
    return (
        key.unique
        and key.get_lookup("exact") is Exact
        and isinstance(user, ForeignKey)
        and not user.null
        and type(manager).get_queryset is Manager.get_queryset
        and manager._queryset_class is QuerySet
    )


@dataclass(frozen=True, slots=True)
class Step:
    """What the ORM does to the values of one column."""

    at: int
    column: Any
    convert: Callable[..., Any]
    is_backends: bool

    @classmethod
    def of(cls, at: int, column: Any, connection: BaseDatabaseWrapper) -> Iterator[Step]:
        """Yield the steps of a column. Those of a backend hold a connection, and so a thread's, until unbound."""
        for convert in connection.ops.get_db_converters(column):
            is_backends = getattr(convert, "__self__", None) is connection.ops
            yield cls(at, column, convert.__func__ if is_backends else convert, is_backends)
        for convert in column.get_db_converters(connection):
            yield cls(at, column, convert, is_backends=False)


@dataclass(frozen=True, slots=True)
class Statement:
    """What to ask of one database, and what to do to the values that it answers."""

    sql: str
    steps: tuple[Step, ...]

    def ask(self, key: Any, connection: BaseDatabaseWrapper) -> Row | None:
        """Return the row that has `key`, or None."""
        with connection.cursor() as cursor:
            cursor.execute(self.sql, {"key": key})
            row: Row | None = cursor.fetchone()
        if row is None or not self.steps:
            return row
        values = list(row)
        for step in self.steps:
            at = step.at
            if step.is_backends:
                values[at] = step.convert(connection.ops, values[at], step.column, connection)
            else:
                values[at] = step.convert(values[at], step.column, connection)
        return tuple(values)


class TokenTable:
    """The tokens of a plain model, together with their users."""

    def __init__(self, model: type[Model]) -> None:
        self.model = model
        self.key = cast(Any, model._meta.get_field("key"))
        self.link = cast(Any, model._meta.get_field("user"))
        self.user_model = self.link.related_model
        self.names = [field.attname for field in model._meta.concrete_fields]
        self.user_names = [field.attname for field in self.user_model._meta.concrete_fields]
        self._statements: dict[str, Statement] = {}

    def read(self, key: str, using: str) -> Row | None:
        """Return the row of the token that has `key`, or None, in one statement."""
        connection = connections[using]
        statement = self._statements.get(using)
        if statement is None:
            statement = self._statements[using] = self._compile(key, connection)
        return statement.ask(self.key.get_db_prep_value(key, connection), connection)

    def build(self, row: Row, using: str) -> Any:
        """Return the token of a row, which knows its user."""
        count = len(self.names)
        token: Any = self.model.from_db(using, self.names, row[:count])
        user = self.user_model.from_db(using, self.user_names, row[count:])
        self.link.set_cached_value(token, user)
        if self.link.unique:
            self.link.remote_field.set_cached_value(user, token)
        return token

    def _compile(self, key: str, connection: BaseDatabaseWrapper) -> Statement:
        tokens = self.model.objects.using(connection.alias).filter(key=key).order_by()  # type: ignore[attr-defined]
        query = tokens.values_list(*self.names, *(f"user__{name}" for name in self.user_names)).query
        compiler = query.get_compiler(using=connection.alias)
        before, _, after = compiler.as_sql()[0].rpartition("%s")
        columns = [column for column, _, _ in compiler.select]
        steps = [step for at, column in enumerate(columns) for step in Step.of(at, column, connection)]
        # A name: where SQLite is asked, Django looks for each `%s` for longer than SQLite looks for the row.
        return Statement(f"{before}%(key)s{after}", tuple(steps))
