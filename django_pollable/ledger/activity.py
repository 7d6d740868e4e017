"""When the changes of a feed's last day were numbered, told from a bounded number of reads."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from django.db import connections

from django_pollable.ledger.options import FeedOptions
from django_pollable.ledger.state import read_clock
from django_pollable.ledger.tables import Change, Feed

SPAN = 30 * 60 * 1000
"""A span of the day (milliseconds)."""
SPANS = 48
MOST_READS = 250
"""Changes that are looked up, one indexed row each, however many there are."""

NEXT = "SELECT sequence, changed_at FROM pollable_change WHERE feed_id = %s AND sequence > %s ORDER BY sequence LIMIT 1"
"""In SQL: the ORM takes longer to ask than the database to answer."""


class Point(NamedTuple):
    """A change that is kept: its sequence, and when it got it (Unix milliseconds)."""

    sequence: int
    at: int


class Gap(NamedTuple):
    """What lies between two kept changes; between them others may be kept, up to the sequence `until`."""

    first: Point
    last: Point
    until: int

    def holds(self, instants: Iterable[int]) -> bool:
        """Return whether one of `instants` lies in it."""
        return any(self.first.at < instant <= self.last.at for instant in instants)

    def numbered_before(self, instant: int) -> float:
        """Return the sequence reached at `instant`: what is not known is spread evenly, the last is at its place."""
        share = (instant - self.first.at) / (self.last.at - self.first.at)
        return self.first.sequence + (self.last.sequence - 1 - self.first.sequence) * share


@dataclass(frozen=True, slots=True)
class Span:
    """Half an hour, from `since` and before `until` (Unix milliseconds), and how many `changes` were numbered in it."""

    since: int
    until: int
    changes: int


def last_day(feed: FeedOptions, using: str) -> list[Span]:
    """
    Return the half hours of the last 24 hours by the database's clock, the last of which goes on.

    Changes are numbered in the order of time, so that the sequence reached at an instant is found by halving.
    Of an object's changes only the newest is kept: where the times of others are not known, they are spread
    evenly. Reads at most `MOST_READS` rows and two.
    """
    history = Feed.objects.using(using).get(pk=feed.id)

    def next_after(sequence: int) -> Point | None:
        with connections[using].cursor() as cursor:
            cursor.execute(NEXT, [feed.id, sequence])
            row = cursor.fetchone()
            return row and Point(*row)

    end = (read_clock(using) // SPAN + 1) * SPAN
    instants = [end - number * SPAN for number in range(SPANS, -1, -1)]
    kept = Change.objects.using(using).filter(feed_id=feed.id).order_by("-sequence")
    oldest, newest = next_after(0), kept.values_list("sequence", "changed_at").first()
    if oldest is None or newest is None:
        return _spans(instants, [0.0] * len(instants))
    last = Point(*newest)
    is_known = history.pruned_before < oldest.at
    first = Point(history.horizon, history.pruned_before) if is_known else Point(oldest.sequence - 1, oldest.at)
    gaps = [Gap(first, oldest, first.sequence), Gap(oldest, last, last.sequence - 1)]
    return _spans(instants, numbered_before(instants, split(gaps, instants, next_after)))


def split(gaps: Iterable[Gap], instants: Sequence[int], next_after: Callable[[int], Point | None]) -> list[Gap]:
    """Halve the widest gap that holds an instant, until none can be, or `MOST_READS` changes were looked up."""
    done: list[Gap] = []
    wide: list[tuple[int, Gap]] = []

    def add(gap: Gap) -> None:
        width = gap.until - gap.first.sequence
        if width > 0 and gap.holds(instants):
            heapq.heappush(wide, (-width, gap))
        else:
            done.append(gap)

    for gap in gaps:
        add(gap)
    for _ in range(MOST_READS):
        if not wide:
            break
        _, gap = heapq.heappop(wide)
        middle = (gap.first.sequence + gap.until) // 2
        found = next_after(middle)
        if found and found.sequence < gap.last.sequence:
            add(Gap(gap.first, found, middle))
            add(Gap(found, gap.last, gap.until))
        else:
            add(Gap(gap.first, gap.last, middle))
    return sorted([*done, *(gap for _, gap in wide)])


def numbered_before(instants: Iterable[int], gaps: Sequence[Gap]) -> list[float]:
    """Return the sequence that was reached at each of `instants`."""

    def reached(instant: int) -> float:
        here = next((gap for gap in gaps if gap.holds([instant])), None)
        if here is not None:
            return here.numbered_before(instant)
        return float(gaps[0].first.sequence if instant <= gaps[0].first.at else gaps[-1].last.sequence)

    return [reached(instant) for instant in instants]


def _spans(instants: Iterable[int], reached: Iterable[float]) -> list[Span]:
    """Return the spans between `instants`; a clock that was set back makes none negative."""
    places = zip(instants, map(round, reached), strict=True)
    return [Span(since, until, max(after - before, 0)) for (since, before), (until, after) in pairwise(places)]
