"""Where the parts of a drawing stand."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from django_pollable.admin.drawing import WIDTH, Bar, chart_of, round_step
from django_pollable.ledger.activity import SPAN, SPANS, Span


def day(*changes: int, end: str = "2026-11-26T00:30") -> list[Span]:
    """Return a day that ends with `changes`."""
    begin = int(datetime.fromisoformat(f"{end}Z").timestamp() * 1000) - SPANS * SPAN
    counts = [0] * (SPANS - len(changes)) + list(changes)
    return [Span(begin + n * SPAN, begin + (n + 1) * SPAN, count) for n, count in enumerate(counts)]


def test_bars_stand_on_one_line_and_within_the_drawing() -> None:
    chart = chart_of(day(1, 500, 1000))

    assert {bar.y + bar.height for bar in chart.bars} == {chart.baseline}
    assert all(chart.left <= bar.x and bar.x + bar.width <= WIDTH and bar.y >= 0 for bar in chart.bars)
    assert chart.highest.changes == 1000
    assert chart.changes == 1501


def test_a_single_change_among_a_million_can_be_seen() -> None:
    none, one = chart_of(day(0, 1, 1_000_000)).bars[-3:-1]

    assert (none.height, one.height) == (0, 2)


@pytest.mark.parametrize("end", ["2026-11-26T00:30", "2026-11-26T01:00"])
def test_no_time_is_cut_off_at_the_edge(end: str) -> None:
    named: list[Bar] = [bar for bar in chart_of(day(end=end)).bars if bar.has_time]

    assert all(bar.since.astimezone(UTC).hour % 3 == 0 for bar in named)
    assert 7 <= len(named) <= 8
    assert named[-1].x + 32 <= WIDTH


@pytest.mark.parametrize(("most", "step"), [(0, 1), (4, 1), (5, 2), (20, 5), (21, 10), (1000, 500), (10**9, 5 * 10**8)])
def test_lines_are_at_round_numbers(most: int, step: int) -> None:
    assert round_step(most) == step
    assert len(chart_of(day(most)).lines) <= 4
