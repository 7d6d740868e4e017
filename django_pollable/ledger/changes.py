"""The keys of what changed, in order."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Max, Min, QuerySet, Subquery

from django_pollable.ledger.options import FeedOptions
from django_pollable.ledger.tables import Change, Feed, Scope


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
        found = list(
            rows.annotate(horizon=Subquery(self._horizons())).values_list("key", "sequence", "horizon")[:limit]
        )
        horizon = found[0][2] if found else self.horizon()
        return [(key, number) for key, number, _ in found], horizon or 0

    def first_keys_after(self, sequence: int, *, head: int, limit: int) -> list[tuple[str, int]]:
        """Return the same by where keys first stood: later changes of a row do not move it."""
        rows = self._rows().filter(sequence__gt=sequence, first_sequence__gt=sequence, first_sequence__lte=head)
        return list(rows.order_by("first_sequence").values_list("key", "first_sequence")[:limit])

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

        None where all of them are recorded before it: the head.
        """
        later = self._rows().filter(changed_at__gte=instant)
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

    def _horizons(self) -> QuerySet[Scope, int]:
        scopes = Scope.objects.using(self.using).filter(feed_id=self.feed.id)
        if self.scopes is not None:
            scopes = scopes.filter(name__in=self.scopes)
        return scopes.order_by().values("feed_id").annotate(top=Max("horizon")).values_list("top", flat=True)

    def _rows(self) -> QuerySet[Change]:
        rows = Change.objects.using(self.using).filter(feed_id=self.feed.id)
        return rows if self.scopes is None else rows.filter(scope__in=self.scopes)
