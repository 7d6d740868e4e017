"""What a page of a feed is made of: a query, a position, the rows that may be shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connections
from django.db.models import Model, QuerySet

from django_pollable.cursors import Binding, Cursor, fingerprint_once
from django_pollable.exceptions import CursorExpired, InvalidCursor
from django_pollable.ledger.changes import ChangeLog
from django_pollable.ledger.state import FeedState

CHUNK = 400
"""How many composite keys one look-up names: SQLite parses each as a level of its expression."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that a view may show: in its scopes, through its queryset, and through the client's filter."""

    log: ChangeLog
    shown: Callable[[], QuerySet[Any]]
    by_rule: Callable[[], QuerySet[Any]]
    """The rows that the view hides from nobody in its scopes."""
    existing: Callable[[], QuerySet[Any]]
    discloses_removed: bool

    def key(self, row: Model) -> str:
        """Return the key of `row`."""
        return next(iter(self.by_key([row])))

    def by_key(self, rows: Iterable[Any]) -> dict[str, Any]:
        """Return `rows` under their keys: a filter's joins may have doubled them."""
        key, connection = self.log.feed.key, connections[self.log.using]
        names = [field.attname for field in key.fields]
        return {key.encode([getattr(row, name) for name in names], connection): row for row in rows}

    def after(self, key: str | None, limit: int, *, last_key: str | None = None) -> list[Any]:
        """Return up to `limit` rows by primary key, after `key` (None: from the beginning) and up to `last_key`."""
        return self._page(self.shown(), key, limit, last_key)

    def unrecorded_after(self, key: str | None, limit: int) -> list[Any]:
        """Return the same of rows that have no recorded change."""
        return self._page(self.log.unrecorded(self.shown()), key, limit, None)

    def last_key(self) -> str | None:
        """Return the highest key of the whole table, in one indexed query."""
        key, connection = self.log.feed.key, connections[self.log.using]
        names = [field.attname for field in key.fields]
        newest = QuerySet(self.log.feed.model, using=self.log.using).order_by("-pk").values_list(*names).first()
        return None if newest is None else key.encode(newest, connection)

    def of_keys(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the rows of `keys` that may be shown, in one query unless they are composite."""
        found: dict[str, Any] = {}
        keys = list(keys)
        for pks in self._chunks(keys):
            found |= self.by_key(self.shown().order_by().filter(pk__in=pks))
        return {key: found[key] for key in keys if key in found}

    def removals(self, keys: list[str]) -> list[str]:
        """Return those of `keys`, of rows that are not shown, that the client may be told are gone."""
        if keys and not self.discloses_removed:
            hidden = self._hidden(keys)
            keys = [key for key in keys if key not in hidden]
        values = self._pks(keys) if len(self.log.feed.key.fields) == 1 else {}
        return [str(values.get(key, key)) for key in keys]

    def _hidden(self, keys: list[str]) -> set[str]:
        """Return those of `keys` whose rows are in the scopes and hidden by a rule."""
        by_rule = self.by_rule().order_by()
        found: set[str] = set()
        for pks in self._chunks(keys):
            told = by_rule.filter(pk__in=pks).values("pk")
            found |= self.by_key(self.existing().filter(pk__in=pks).exclude(pk__in=told)).keys()
        return found

    def _page(self, rows: QuerySet[Any], key: str | None, limit: int, last_key: str | None) -> list[Any]:
        rows = rows.order_by("pk")
        if key is not None:
            rows = rows.filter(pk__gt=self._pk(key))
        if last_key is not None:
            rows = rows.filter(pk__lte=self._pk(last_key))
        return list(rows[:limit])

    def _chunks(self, keys: Iterable[str]) -> Iterator[list[Any]]:
        """Yield the primary keys of `keys`, as many at a time as one query may name."""
        pks = list(self._pks(keys).values())
        size = CHUNK if len(self.log.feed.key.fields) > 1 else len(pks)
        for start in range(0, len(pks), size or 1):
            yield pks[start : start + size]

    def _pks(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the primary keys that recorded `keys` stand for; none where the field's type has changed since."""
        found = {}
        for key in keys:
            with suppress(ValidationError, ValueError):
                found[key] = self.log.feed.key.decode(key)
        return found

    def _pk(self, key: str) -> Any:
        """Return the primary key that a client's `key` stands for."""
        try:
            return self.log.feed.key.parse(key, connections[self.log.using])
        except (ValidationError, ValueError):
            raise InvalidCursor("The cursor is malformed.") from None


@dataclass(frozen=True, slots=True)
class Position:
    """
    Where a page begins: after `sequence`, or, while rows are read from the table itself, after the row `key`.

    `until` and `last_key` are where paging ends, if it has begun. `horizon` is the one under which it
    began, where nothing is missing before that moves.
    """

    sequence: int
    key: str | None = None
    until: int | None = None
    last_key: str | None = None
    horizon: int | None = None

    @property
    def parts(self) -> tuple[int | str | None, ...]:
        """All that it says."""
        return self.sequence, self.key, self.until, self.last_key, self.horizon

    @property
    def is_first_sync(self) -> bool:
        """Return whether rows are read from the table itself."""
        return self.key is not None

    def check(self, horizon: int) -> None:
        """
        Check that pruning has left all that follows.

        Raises:
            CursorExpired: `horizon` has passed the position.
        """
        if horizon > max(self.sequence, self.horizon or 0):
            raise CursorExpired("Changes after the cursor are gone.", reason="history-pruned")


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in order, the keys of what is gone, and where the next page begins."""

    items: list[Any]
    removed: list[str]
    next: Cursor
    has_more: bool
    is_reset: bool = False

    def envelope(self, items: Any) -> dict[str, Any]:
        """Return the body of the answer."""
        return {
            "items": items,
            "removed": self.removed,
            "next_since": self.next.encode(),
            "has_more": self.has_more,
            "reset": self.is_reset,
        }


@dataclass(frozen=True, slots=True)
class Query:
    """What a request asks of a feed, before the database is: `since` as it was sent."""

    binding: Binding
    limit: int
    since: Cursor | int | str | None
    """A cursor, an instant (Unix milliseconds), `now`, or None for a first sync."""
    after: str | None = None
    """The key of `after_id`."""
    variant: tuple[Any, ...] = ()
    """What else shapes the bytes of the answer."""

    @property
    def cursor(self) -> Cursor | None:
        """The cursor, if `since` is one."""
        return self.since if isinstance(self.since, Cursor) else None

    @property
    def kind(self) -> str:
        """What the request names: a cursor, a time, `now`, an id, or nothing."""
        if isinstance(self.since, Cursor):
            return "cursor"
        if isinstance(self.since, int):
            return "time"
        return self.since or ("first" if self.after is None else "after")

    def shaped_by(self, variant: tuple[Any, ...]) -> Query:
        """Return the query of an answer whose bytes depend on `variant`, too."""
        return Query(self.binding, self.limit, self.since, self.after, variant)

    def is_at(self, position: Position, state: FeedState) -> bool:
        """Return whether the query's cursor is at the head, so that nothing follows."""
        return position.key is None and position.sequence >= state.head and isinstance(self.since, Cursor)

    def place(self, state: FeedState, sequence: int) -> str:
        """Return the fingerprint of being at `sequence`, however a client has got there."""
        return fingerprint_once(self._shape, state.epoch, sequence)

    def question(self, state: FeedState, position: Position) -> str:
        """Return the fingerprint of one answer: what was asked, and the head that it was answered at."""
        return fingerprint_once(self._shape, state.epoch, state.head, self.kind, position.parts)

    @property
    def _shape(self) -> tuple[Any, ...]:
        bound = self.binding
        return bound.feed, bound.scope, bound.filter, bound.representation, self.limit, self.variant
