"""The last day of a feed, from few reads."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from django_pollable.ledger.activity import MOST_READS, SPAN, SPANS, Gap, Point, last_day, numbered_before, split
from django_pollable.ledger.options import feed_of
from django_pollable.ledger.sequencer import settle_all
from django_pollable.ledger.state import read_clock
from django_pollable.ledger.tables import Change, Feed
from tests.shop.models import Log

FEED = feed_of(Log)
HOUR = 2 * SPAN


def finder(kept: Sequence[Point], reads: list[int]) -> Callable[[int], Point]:
    sequences = [point.sequence for point in kept]

    def next_after(sequence: int) -> Point:
        reads.append(sequence)
        return kept[bisect_right(sequences, sequence)]

    return next_after


def reached(kept: Sequence[Point], instants: Sequence[int]) -> tuple[list[float], int]:
    """Return what is told of a feed whose first change is kept, and how many reads that took."""
    reads: list[int] = []
    gap = Gap(kept[0], kept[-1], kept[-1].sequence - 1)
    return numbered_before(instants, split([gap], instants, finder(kept, reads))), len(reads)


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=40), st.lists(st.integers(0, 1001), max_size=5))
def test_where_every_change_is_kept_each_is_counted_at_its_time(times: list[int], instants: list[int]) -> None:
    kept = [Point(number, at) for number, at in enumerate(sorted(times), start=1)]

    told, _ = reached(kept, instants)

    assert told == [max(sum(at < instant for at in times), 1) for instant in instants]


@given(st.lists(st.tuples(st.integers(1, 1000), st.booleans()), min_size=2, max_size=40), st.integers(1, 1000))
def test_what_is_told_lies_between_the_kept_changes_around_it(changes: list[tuple[int, bool]], instant: int) -> None:
    times = sorted(at for at, _ in changes)
    newest = len(times) - 1
    kept = [Point(n + 1, at) for n, at in enumerate(times) if n in (0, newest) or changes[n][1]]

    (told,), _ = reached(kept, [instant])

    before = [point.sequence for point in kept if point.at < instant]
    after = [point.sequence for point in kept if point.at >= instant]
    assert max(before, default=1) <= told <= min(after, default=newest + 1)


def test_few_reads_tell_a_million_changes_nearly() -> None:
    kept = [Point(number, number * 86) for number in range(1, 1_000_001)]
    instants = [number * 1_800_000 for number in range(1, 48)]

    told, reads = reached(kept, instants)

    assert reads == MOST_READS
    assert max(abs(found - instant / 86) for found, instant in zip(told, instants, strict=True)) < 2000


def test_a_clock_that_was_set_back_breaks_nothing() -> None:
    kept = [Point(1, 100), Point(2, 300), Point(3, 200), Point(4, 400)]

    told, _ = reached(kept, [150, 250, 350])

    assert all(1 <= sequence <= 4 for sequence in told)


def test_changes_that_go_meanwhile_are_not_looked_for_again() -> None:
    gap = Gap(Point(1, 100), Point(9, 900), 8)

    assert split([gap], [500], {}.get) == [Gap(gap.first, gap.last, 1)]


def set_times(*hours_ago: float) -> None:
    """Let the feed's newest changes have come so many hours ago."""
    settle_all(FEED, using="default")
    now = read_clock("default")
    keys = list(Change.objects.filter(feed_id=FEED.id).order_by("sequence").values_list("key", flat=True))
    for key, hours in zip(keys[-len(hours_ago) :], hours_ago, strict=True):
        Change.objects.filter(feed_id=FEED.id, key=key).update(changed_at=now - int(hours * HOUR))


def begun(*, days_ago: int) -> None:
    Feed.objects.filter(pk=FEED.id).update(pruned_before=read_clock("default") - days_ago * 24 * HOUR)


@pytest.mark.django_db
def test_a_day_is_made_of_half_hours_of_which_the_last_goes_on() -> None:
    spans = last_day(FEED, "default")

    assert len(spans) == SPANS
    assert spans[-1].since <= read_clock("default") < spans[-1].until
    assert {span.until - span.since for span in spans} == {SPAN}
    assert all(span.since % SPAN == 0 for span in spans)


@pytest.mark.django_db
def test_changes_are_counted_in_the_half_hour_in_which_they_came() -> None:
    Change.objects.all().delete()
    Log.objects.bulk_create(Log(text=str(number)) for number in range(4))
    set_times(30, 10, 10, 0)
    begun(days_ago=3)

    changes = [span.changes for span in last_day(FEED, "default")]

    assert (sum(changes), changes[-1], max(changes)) == (3, 1, 2)


@pytest.mark.django_db
def test_a_feed_without_changes_has_an_empty_day() -> None:
    Change.objects.filter(feed_id=FEED.id).delete()

    assert {span.changes for span in last_day(FEED, "default")} == {0}


@pytest.mark.django_db
def test_changes_that_newer_ones_took_the_place_of_are_spread_evenly() -> None:
    Change.objects.all().delete()
    log = Log.objects.create(text="first")
    set_times(0)
    begun(days_ago=2)
    Feed.objects.filter(pk=FEED.id).update(horizon=0, sequence=97)
    Change.objects.filter(feed_id=FEED.id, key=str(log.pk)).update(sequence=97)

    changes = [span.changes for span in last_day(FEED, "default")]

    assert changes.count(1) > 40
    assert set(changes) <= {0, 1, 2, 3}
    assert 47 <= sum(changes) <= 49


@pytest.mark.django_db
def test_changes_before_an_epoch_are_not_all_counted_when_the_first_kept_one_came() -> None:
    Change.objects.all().delete()
    Log.objects.create(text="first")
    set_times(5)
    begun(days_ago=0)
    Feed.objects.filter(pk=FEED.id).update(horizon=0, sequence=1000)
    Change.objects.filter(feed_id=FEED.id).update(sequence=1000)

    assert sum(span.changes for span in last_day(FEED, "default")) == 1


@pytest.mark.django_db
def test_the_reads_of_a_day_have_a_bound() -> None:
    Log.objects.bulk_create(Log(text=str(number)) for number in range(500))
    set_times(*(24 - number / 25 for number in range(500)))

    with CaptureQueriesContext(connection) as queries:
        last_day(FEED, "default")

    assert len(queries) <= MOST_READS + 4
