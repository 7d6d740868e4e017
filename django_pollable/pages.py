"""What a page of a feed is made of: a query, a position, the rows that may be shown."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connections
from django.db.models import Exists, Model, OuterRef, QuerySet
from django.db.models.functions import Cast

from django_pollable.conditional import weak_etag
from django_pollable.cursors import Binding, Cursor
from django_pollable.exceptions import InvalidCursor
from django_pollable.ledger.changes import ChangeLog
from django_pollable.ledger.state import FeedState
from django_pollable.ledger.tables import KEY_LENGTH, Change, KeyField


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that a view may show: in its scopes, through its queryset, and through the client's filter."""

    log: ChangeLog
    shown: QuerySet[Any]
    visible: QuerySet[Any]
    existing: QuerySet[Any]
    discloses_removed: bool

    def key(self, row: Model) -> str:
        """Return the key of `row`."""
        key = self.log.feed.key
        return key.encode([getattr(row, field.attname) for field in key.fields], connections[self.log.using])

    def after(self, key: str, limit: int, *, last_key: str | None = None) -> list[Any]:
        """Return up to `limit` rows by primary key, after `key` ("" is the beginning) and up to `last_key`."""
        rows = self.shown.order_by("pk")
        if key:
            rows = rows.filter(pk__gt=self._pk(key))
        if last_key is not None:
            rows = rows.filter(pk__lte=self._pk(last_key))
        return list(rows[:limit])

    def last_key(self) -> str | None:
        """Return the highest key of the whole table, in one indexed query."""
        newest = self.log.feed.model._base_manager.using(self.log.using).order_by("-pk").first()
        return None if newest is None else self.key(newest)

    def unrecorded_after(self, key: str, limit: int) -> list[Any]:
        """Return the same of rows that have no recorded change."""
        changes = Change.objects.using(self.log.using).filter(feed_id=self.log.feed.id)
        recorded = changes.filter(key=Cast(OuterRef("pk"), KeyField(max_length=KEY_LENGTH)))
        rows = self.shown.exclude(Exists(recorded)).order_by("pk")
        return list((rows.filter(pk__gt=self._pk(key)) if key else rows)[:limit])

    def by_keys(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the rows of `keys` that may be shown, in one query."""
        found = self.shown.order_by().filter(pk__in=list(self._pks(keys).values()))
        return {self.key(row): row for row in found}

    def removals(self, keys: list[str]) -> list[str]:
        """Return those of `keys`, of rows that are not shown, that the client may be told are gone."""
        if keys and not self.discloses_removed:
            pks = list(self._pks(keys).values())
            visible = self.visible.order_by().filter(pk__in=pks).values("pk")
            hidden = {self.key(row) for row in self.existing.filter(pk__in=pks).exclude(pk__in=visible)}
            keys = [key for key in keys if key not in hidden]
        values = self._pks(keys) if len(self.log.feed.key.fields) == 1 else {}
        return [str(values.get(key, key)) for key in keys]

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
    Where a page begins: after `sequence`; in a first sync after the row `key`, with the head at its start.
    `until` and `last_key` are where paging ends, if it has begun.

    `is_url` says that the request names no cursor, so that its validators are those of its URL.
    """

    sequence: int
    key: str | None = None
    is_url: bool = False
    until: int | None = None
    last_key: str | None = None

    @property
    def is_first_sync(self) -> bool:
        """Return whether rows are read from the table itself."""
        return self.key is not None

    def is_at(self, state: FeedState) -> bool:
        """Return whether nothing can follow."""
        return self.key is None and self.sequence >= state.head


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in order, the keys of what is gone, and where the next page begins."""

    items: list[Any]
    removed: list[str]
    next: Cursor
    has_more: bool
    is_reset: bool = False
    end: str = ""

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

    def etag(self, state: FeedState, *parts: object, end: str = "") -> str:
        """Return the tag of an answer to this query."""
        bound = self.binding
        shape = (bound.feed, bound.scope, bound.filter, bound.representation, self.limit, self.variant)
        return weak_etag(shape, state.epoch, parts, end=end)
