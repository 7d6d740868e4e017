"""
`python -m tests.benchmarks.client_herd [CLIENTS]`: what a server meets when it comes back after an outage.

Every client is a real state machine; only the clock, the dice and the server are made up. After the
outage the server bears half as much again as the steady rate, and refuses the rest.
"""

from __future__ import annotations

import heapq
import itertools
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django_pollable.client.answers import Answer, Fault
from django_pollable.client.machine import Machine
from django_pollable.client.waits import Pace

INTERVAL, OUTAGE, END = 10.0, 60, 150
HEADROOM = 1.5
MAX_PEAK, MAX_REQUESTS = 1.3, 5.0

PAGE = json.dumps({"items": [], "removed": [], "next_since": "a", "has_more": False, "reset": True}).encode()
UNCHANGED = Answer(304, {"etag": '"a"'})
OUTAGES: dict[str, Callable[[random.Random], Answer | Fault]] = {
    "no connection": lambda _: Fault("connect"),
    "503": lambda _: Answer(503),
    "503, Retry-After 30": lambda _: Answer(503, {"retry-after": "30"}),
    "503, Retry-After drawn": lambda dice: Answer(503, {"retry-after": str(dice.randint(1, 11))}),
}


@dataclass(frozen=True)
class Herd:
    """What came of an outage; rates are relative to the steady one."""

    requests: float
    """A client's, during the outage."""
    peak: float
    """The most requests in a second after it."""
    recovered: int
    """When the last client was refused (seconds after the outage)."""


def simulate(clients: int, outage: Callable[[random.Random], Answer | Fault], *, is_spread: bool) -> Herd:
    """Let `clients` poll through an outage; they begin spread over an interval, or within one second."""
    dice = random.Random(1)
    capacity = HEADROOM * clients / INTERVAL
    seconds: list[list[tuple[float, Machine]]] = [[] for _ in range(END)]
    synced = Machine.of("http://feed/", Pace(interval=INTERVAL)).receive(
        Answer(200, {"etag": '"a"'}, PAGE), now=0, draw=0.5
    )
    for _ in range(clients):
        begin = dice.random() * (INTERVAL if is_spread else 1)
        seconds[int(begin)].append((begin, synced.next))
    asked: Counter[int] = Counter()
    refused = 0
    for second in range(END):
        served = 0
        for now, machine, later in _in_order(seconds, second):
            asked[second] += 1
            is_up = second >= OUTAGE and served < capacity
            served += is_up
            refused = second if not is_up else refused
            outcome = machine.receive(UNCHANGED if is_up else outage(dice), now=now, draw=dice.random())
            later(now + outcome.wait, outcome.next)
    steady = clients / INTERVAL
    during = sum(count for second, count in asked.items() if second < OUTAGE)
    peak = max(count for second, count in asked.items() if second >= OUTAGE)
    return Herd(during / clients, peak / steady, max(0, refused + 1 - OUTAGE))


def _in_order(
    seconds: list[list[tuple[float, Machine]]], second: int
) -> Iterator[tuple[float, Machine, Callable[[float, Machine], None]]]:
    """Give the requests of `second` as time goes by, and what puts the next one of the client in its place."""
    numbers = itertools.count()
    due = [(at, next(numbers), machine) for at, machine in seconds[second]]
    seconds[second] = []
    heapq.heapify(due)

    def later(at: float, machine: Machine) -> None:
        if int(at) == second:
            heapq.heappush(due, (at, next(numbers), machine))
        elif at < END:
            seconds[int(at)].append((at, machine))

    while due:
        at, _, machine = heapq.heappop(due)
        yield at, machine, later


def main(clients: int) -> bool:
    """Print a table, and return whether each herd is within its limits."""
    print(f"{clients} clients, an interval of {INTERVAL:g} s, an outage of {OUTAGE} s\n")
    print(f"{'outage':26}{'clients begin':>14}{'requests':>10}{'peak':>8}{'recovered':>11}")
    is_good = True
    for (name, outage), is_spread in itertools.product(OUTAGES.items(), (True, False)):
        herd = simulate(clients, outage, is_spread=is_spread)
        begin = "spread" if is_spread else "together"
        print(f"{name:26}{begin:>14}{herd.requests:10.2f}{herd.peak:8.2f}{herd.recovered:10d} s", flush=True)
        is_good &= herd.requests <= MAX_REQUESTS and herd.peak <= MAX_PEAK
    print(f"{'limits':40}{MAX_REQUESTS:10.2f}{MAX_PEAK:8.2f}")
    return is_good


if __name__ == "__main__":
    sys.exit(not main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000))
