"""The keys of what changed, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Exists, Expression, Func, Max, Min, OuterRef, QuerySet, Subquery, TextField, Value
from django.db.models.functions import Cast, Concat, Replace

from django_pollable.ledger.keys import ESCAPES, SEPARATOR, KeyFields
from django_pollable.ledger.options import FeedOptions
from django_pollable.ledger.tables import KEY_LENGTH, Change, Feed, KeyField, PendingChange, Scope


class Verbatim(Func):
    """A text that is compared character by character, whatever its column's collation."""

    output_field = TextField()
    template = '%(expressions)s COLLATE "C"'

    def as_sqlite(self, compiler: Any, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="%(expressions)s COLLATE BINARY", **context)

    def as_mysql(self, compiler: Any, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        _, _, collation = str(KeyField(max_length=KEY_LENGTH).db_type(connection)).rpartition(" ")
        template = f"CONVERT(%(expressions)s USING utf8mb4) COLLATE {collation}"
        return self.as_sql(compiler, connection, template=template, **context)


COMMIT_SECONDS = 60
"""How long a transaction that writes may take."""


@dataclass(frozen=True, slots=True)
class ChangeLog:
    """The changes of some scopes of a feed (`scopes` None: all), in one database."""

    feed: FeedOptions
    scopes: tuple[str, ...] | None
    using: str

    def window(self, sequence: int, *, head: int, limit: int) -> tuple[list[tuple[str, int]], int]:
        """
        Return up to `limit` keys changed after `sequence` and not after `head`, with their sequences,
        and the horizon at that moment: where it has passed `sequence`, keys are missing.
        """
        rows = self._rows().filter(sequence__gt=sequence, sequence__lte=head).order_by("sequence")
        return self._with_horizon(rows, "sequence", limit)

    def first_keys_after(self, sequence: int, *, head: int, limit: int) -> tuple[list[tuple[str, int]], int]:
        """Return the same by where keys first stood: later changes of a row do not move it."""
        rows = self._rows().filter(sequence__gt=sequence, first_sequence__gt=sequence, first_sequence__lte=head)
        return self._with_horizon(rows.order_by("first_sequence"), "first_sequence", limit)

    def unrecorded(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return those of the feed's `rows` that have no change in these scopes, numbered or pending."""
        key = _text_of(self.feed.key)
        pending = self._in_scopes(PendingChange.objects.using(self.using).filter(feed_id=self.feed.id, via=""))
        return rows.exclude(Exists(self._rows().filter(key=key))).exclude(Exists(pending.filter(key=key)))

    def first_sequence_of(self, key: str) -> int | None:
        """Return where `key` first stood, or None where no change of it is recorded."""
        found: int | None = self._rows().filter(key=key).aggregate(first=Min("first_sequence"))["first"]
        return found

    def horizon(self) -> int:
        """Return the highest sequence that pruning has passed."""
        return next(iter(self._horizons()), 0)

    def horizon_of(self, key: str) -> int | None:
        """Return the horizon of the scope in which `key` was the last that pruning took."""
        scopes = Scope.objects.using(self.using).filter(feed_id=self.feed.id, horizon_key=key, horizon__gt=0)
        if self.scopes is not None:
            scopes = scopes.filter(name__in=self.scopes)
        found: int | None = scopes.aggregate(horizon=Max("horizon"))["horizon"]
        return found

    def position_at(self, instant: int) -> int | None:
        """
        Return the sequence before all changes recorded at or after `instant` (Unix milliseconds).

        None where all of them are recorded before it: the head. On SQLite the time is that of the write:
        its commit may be up to `COMMIT_SECONDS` later.
        """
        margin = COMMIT_SECONDS * 1000 if connections[self.using].vendor == "sqlite" else 0
        later = self._rows().filter(changed_at__gte=instant - margin)
        found: int | None = later.aggregate(first=Min("sequence"))["first"]
        return None if found is None else found - 1

    def pruned_before(self) -> int:
        """Return the Unix millisecond before which changes may be gone."""
        return Feed.objects.using(self.using).values_list("pruned_before", flat=True).get(pk=self.feed.id)

    def object_sequence(self, key: str) -> int:
        """Return the newest sequence of `key` in any scope; where none is recorded, the feed's horizon."""
        newest = Change.objects.using(self.using).filter(feed_id=self.feed.id, key=key)
        found: int | None = newest.aggregate(newest=Max("sequence"))["newest"]
        if found is not None:
            return found
        return Feed.objects.using(self.using).values_list("horizon", flat=True).get(pk=self.feed.id)

    def _with_horizon(self, rows: QuerySet[Change], place: str, limit: int) -> tuple[list[tuple[str, int]], int]:
        """Return keys and places of `rows` and the horizon, in one statement where there are any."""
        found = list(rows.annotate(horizon=Subquery(self._horizons())).values_list("key", place, "horizon")[:limit])
        horizon = found[0][2] if found else self.horizon()
        return [(key, number) for key, number, _ in found], horizon or 0

    def _horizons(self) -> QuerySet[Scope, int]:
        scopes = Scope.objects.using(self.using).filter(feed_id=self.feed.id)
        if self.scopes is not None:
            scopes = scopes.filter(name__in=self.scopes)
        return scopes.order_by().values("feed_id").annotate(top=Max("horizon")).values_list("top", flat=True)

    def _rows(self) -> QuerySet[Change]:
        return self._in_scopes(Change.objects.using(self.using).filter(feed_id=self.feed.id))

    def _in_scopes(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows if self.scopes is None else rows.filter(scope__in=self.scopes)


def _text_of(key: KeyFields) -> Expression:
    """Return the SQL that makes of an outer row's columns what `KeyFields.encode` makes of its values."""
    parts: list[Any] = []
    for field in key.fields:
        part: Any = Cast(OuterRef(field.attname), KeyField(max_length=KEY_LENGTH))
        for character, escaped in ESCAPES if key.escapes(field) else ():
            part = Replace(part, Value(character), Value(escaped))
        parts += [part, Value(SEPARATOR)]
    return Verbatim(Concat(*parts[:-1], output_field=TextField()) if len(parts) > 2 else parts[0])
