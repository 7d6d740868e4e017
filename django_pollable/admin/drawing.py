"""A bar chart of a day: where its parts stand, for a template that draws it as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.utils import timezone

from django_pollable.ledger.activity import Span

WIDTH, HEIGHT = 960, 200
LEFT, TOP, BOTTOM = 64, 12, 26
"""Room for the numbers at the left, and above and below the bars."""
BETWEEN = 3
STEPS = (1, 2, 5)
MOST_LINES = 4
ROOM = 32
"""For a time below a bar."""
HOURS = 3
"""How many hours lie between two times below the bars."""


@dataclass(frozen=True, slots=True)
class Bar:
    """The bar of a span (SVG units); what is not nothing can be seen."""

    since: datetime
    until: datetime
    changes: int
    x: int
    y: int
    width: int
    height: int

    @property
    def has_time(self) -> bool:
        """Whether its time is written below it: each few hours, and where there is room."""
        return self.since.hour % HOURS == 0 and self.since.minute == 0 and self.x + ROOM <= WIDTH


@dataclass(frozen=True, slots=True)
class Line:
    """A line that tells how high a number of changes is."""

    y: int
    changes: int


@dataclass(frozen=True, slots=True)
class Chart:
    """The bars of a day, and the lines behind them."""

    bars: list[Bar]
    lines: list[Line]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    baseline: int = HEIGHT - BOTTOM

    @property
    def changes(self) -> int:
        """How many changes there were in all."""
        return sum(bar.changes for bar in self.bars)

    @property
    def highest(self) -> Bar:
        """The bar with the most changes."""
        return max(self.bars, key=lambda bar: bar.changes)


def chart_of(spans: Sequence[Span]) -> Chart:
    """Return the chart of `spans`, its times in the current time zone."""
    step = round_step(max(span.changes for span in spans))
    top = max(-(-max(span.changes for span in spans) // step), 1) * step
    baseline = HEIGHT - BOTTOM

    def height(changes: int) -> int:
        return max(round((baseline - TOP) * changes / top), 2) if changes else 0

    def place(number: int) -> int:
        return LEFT + round(number * (WIDTH - LEFT) / len(spans))

    bars = [
        Bar(
            _local(span.since),
            _local(span.until),
            span.changes,
            x=place(number),
            y=baseline - height(span.changes),
            width=place(number + 1) - place(number) - BETWEEN,
            height=height(span.changes),
        )
        for number, span in enumerate(spans)
    ]
    return Chart(bars, [Line(baseline - height(changes), changes) for changes in range(step, top + 1, step)])


def round_step(most: int) -> int:
    """Return the least round number that reaches `most` in `MOST_LINES` steps."""
    scale = 1
    while most > STEPS[-1] * scale * MOST_LINES:
        scale *= 10
    return next(step * scale for step in STEPS if most <= step * scale * MOST_LINES)


def _local(milliseconds: int) -> datetime:
    return timezone.localtime(datetime.fromtimestamp(milliseconds / 1000, UTC))
