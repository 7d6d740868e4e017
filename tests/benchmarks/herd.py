"""
`python -m tests.benchmarks.herd [SVG]`: what a crowd of clients does to a server that comes back.

All fail in the first second of an outage of a minute, and come back when they are told. The server then has half as
much again of the capacity that it needs, and refuses what is above it. Time goes in tenths of a second; clients are
all alike, so that counts of them are enough.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import repeat, starmap
from pathlib import Path

from django_pollable.pacing import retry_after

CLIENTS = 1_000_000
INTERVAL, OUTAGE, AFTERWARDS = 10, 60, 90  # seconds
HEADROOM = 1.5
TICKS = 10  # a second

Refuse = Callable[[], int]

STRATEGIES: dict[str, Refuse] = {
    "as this server: a poll interval, and up to one more": lambda: retry_after(INTERVAL, spread=INTERVAL),
    "1 s, and up to a poll interval more": lambda: retry_after(1, spread=INTERVAL),
    "a poll interval, and up to a tenth more": lambda: retry_after(INTERVAL, spread=INTERVAL / 10),
    "a poll interval for everybody": lambda: INTERVAL,
    "30 s for everybody": lambda: 30,
}


@dataclass(frozen=True, slots=True)
class Course:
    """What has happened: requests a second since the outage began, and who was served when."""

    clients: int
    requests: list[int]
    served: list[int]
    """How many clients had been served since the recovery, by its seconds."""

    @property
    def mean(self) -> float:
        return self.clients / INTERVAL

    @property
    def peak(self) -> float:
        """The highest rate after the recovery, of the mean."""
        return max(self.requests[OUTAGE:]) / self.mean

    @property
    def seconds_to_95_percent(self) -> int | None:
        return next((second + 1 for second, count in enumerate(self.served) if count >= 0.95 * self.clients), None)

    @property
    def requests_in_outage(self) -> float:
        """A client's requests that were refused."""
        return sum(self.requests[:OUTAGE]) / self.clients


def course(refuse: Refuse, *, clients: int = CLIENTS, seed: int = 1) -> Course:
    """Simulate; `refuse` draws what `Retry-After` says."""
    random.seed(seed)
    ticks = (OUTAGE + AFTERWARDS) * TICKS
    idle = range(1, 2 * INTERVAL * TICKS)  # full jitter: the interval on average
    capacity = int(HEADROOM * clients / INTERVAL / TICKS)
    hungry, fed = ([0] * ticks for _ in range(2))  # by the tick of the next request
    for tick in range(TICKS):
        hungry[tick] = clients // TICKS
    requests, served, total = [0] * (OUTAGE + AFTERWARDS), [0] * AFTERWARDS, 0
    for now in range(ticks):
        waiting, content = hungry[now], fed[now]
        asking = waiting + content
        requests[now // TICKS] += asking
        accepted = min(asking, capacity) if now >= OUTAGE * TICKS else 0
        newly_fed = accepted * waiting // max(asking, 1)
        _schedule(hungry, now, _waits(refuse, waiting - newly_fed))
        _schedule(fed, now, _waits(refuse, content - (accepted - newly_fed)))
        _schedule(fed, now, random.choices(idle, k=accepted))
        total += newly_fed
        if now >= OUTAGE * TICKS:
            served[now // TICKS - OUTAGE] = total
    return Course(clients, requests, served)


def _waits(refuse: Refuse, count: int) -> Iterable[int]:
    return (seconds * TICKS for seconds in starmap(refuse, repeat((), count)))


def _schedule(plan: list[int], now: int, waits: Iterable[int]) -> None:
    for wait, count in Counter(waits).items():
        if now + wait < len(plan):
            plan[now + wait] += count


def table(courses: dict[str, Course]) -> str:
    """Return the results as a table in Markdown."""
    lines = [
        "| `Retry-After` | peak after recovery / mean | 95 % served after | refused requests of a client |",
        "|---|---|---|---|",
    ]
    for name, one in courses.items():
        seconds = one.seconds_to_95_percent
        until = f"{seconds} s" if seconds else f"more than {AFTERWARDS} s"
        lines.append(f"| {name} | {one.peak:.2f} | {until} | {one.requests_in_outage:.1f} |")
    return "\n".join(lines)


WIDTH, HEIGHT, LEFT, BOTTOM = 720, 300, 40, 260
COLOURS = ("#2f81f7", "#e8590c")


def plot(courses: dict[str, Course]) -> str:
    """Return an SVG of the rates, in colours for light and dark pages."""
    highest = max(max(one.requests[OUTAGE:]) / one.mean for one in courses.values())
    seconds = OUTAGE + AFTERWARDS

    def x(second: float) -> float:
        return LEFT + second * (WIDTH - LEFT - 20) / seconds

    def y(rate: float) -> float:
        return BOTTOM - min(rate, highest) * (BOTTOM - 20) / highest

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
        ' font-size="12" fill="#808890">',
        f"<title>Requests a second, of the mean, in an outage of {OUTAGE} s and afterwards</title>",
        f'<rect x="{x(0)}" y="20" width="{x(OUTAGE) - x(0):.1f}" height="{BOTTOM - 20}" fill-opacity="0.15"/>',
        f'<text x="{x(OUTAGE / 2):.1f}" y="36" text-anchor="middle">outage</text>',
    ]
    for rate in range(0, int(highest) + 1, 2 if highest > 4 else 1):
        parts.append(f'<path d="M{LEFT} {y(rate):.1f}H{WIDTH - 20}" stroke="#808890" stroke-opacity="0.3"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(rate) + 4:.1f}" text-anchor="end">{rate}&#215;</text>')
    parts += [
        f'<text x="{x(second):.1f}" y="{BOTTOM + 18}" text-anchor="middle">{second} s</text>'
        for second in range(0, seconds + 1, 30)
    ]
    for one, colour in zip(courses.values(), COLOURS, strict=True):
        points = " ".join(f"{x(second):.1f},{y(rate / one.mean):.1f}" for second, rate in enumerate(one.requests))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    for number, (name, colour) in enumerate(zip(courses, COLOURS, strict=True)):
        parts.append(f'<text x="{LEFT + number * 350}" y="{HEIGHT - 6}" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>", ""])


def main(target: str | None) -> None:
    begin = time.perf_counter()
    courses = {name: course(refuse) for name, refuse in STRATEGIES.items()}
    print(f"{CLIENTS} clients, poll interval {INTERVAL} s, outage {OUTAGE} s, capacity {HEADROOM} x the mean\n")
    print(table(courses))
    print(f"\n{time.perf_counter() - begin:.0f} s")
    if target:
        shown = [name for name in courses if "this server" in name or name.endswith("interval for everybody")]
        Path(target).write_text(plot({name: courses[name] for name in shown}))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
