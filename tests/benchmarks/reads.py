"""`python -m tests.benchmarks.reads PART...`: measure what reads cost, and print it for the process that collects."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from tests.benchmarks import instructions, over_http
from tests.benchmarks.databases import own_database
from tests.benchmarks.measurements import CONNECTIONS, INSTRUCTIONS, SECONDS, STATEMENTS, Measurement, progress

if TYPE_CHECKING:
    from tests.benchmarks.cases import Case

ROUND_SECONDS = 0.05
PARTS = ("reads", "instructions", "http")


def main() -> None:
    """Make a database, and measure at each size of its table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--sizes", type=int, nargs="+", required=True)
    parser.add_argument("--rounds", type=int, default=5, help="how often times are measured")
    options = parser.parse_args()
    with own_database() as url:
        from django.db import connection

        from tests.benchmarks import rows

        name = connection.display_name
        for size in sorted(options.sizes):
            progress(f"{name}, {size} rows")
            rows.fill(size)
            connection.close()
            is_largest = size == max(options.sizes)
            for part in options.parts:
                if part != "http" or is_largest:
                    for case, unit, value in _measure(part, url, options.rounds):
                        Measurement(name, size, case, unit, value).print()
            connection.close()


def _measure(part: str, url: str, rounds: int) -> Iterable[tuple[str, str, float]]:
    from tests.benchmarks.cases import CASES

    if part == "reads":
        return [*_statements(), *_seconds(rounds)]
    if part == "instructions":
        found = instructions.count(list(CASES), url) if instructions.is_available() else {}
        return [(case, INSTRUCTIONS, value) for case, value in found.items()]
    return over_http.measure(url)


def _statements() -> list[tuple[str, str, float]]:
    """Return how many statements each case takes, and whether it opens a connection that was closed."""
    from django.db import connection
    from django.test import override_settings
    from django.test.utils import CaptureQueriesContext

    from tests.benchmarks.cases import CASES
    from tests.benchmarks.requests import prepared

    found: list[tuple[str, str, float]] = []
    for case in CASES.values():
        with override_settings(**case.settings):
            once = prepared(case)
            once()
            with CaptureQueriesContext(connection) as captured:
                once()
            connection.close()
            once()
        found.append((case.name, STATEMENTS, len(captured)))
        found.append((case.name, CONNECTIONS, connection.connection is not None))
    return found


def _seconds(rounds: int) -> list[tuple[str, str, float]]:
    """Return the best time of each case in several rounds of all: what disturbs one round disturbs all cases."""
    from tests.benchmarks.cases import CASES

    times: dict[str, list[float]] = {case: [] for case in CASES}
    for _ in range(rounds):
        for name, case in CASES.items():
            times[name].append(_time(case))
    return [(case, SECONDS, min(measured)) for case, measured in times.items()]


def _time(case: Case) -> float:
    from django.test import override_settings

    from tests.benchmarks.requests import prepared

    with override_settings(**case.settings):
        once = prepared(case)
        once()
        return best(once)


def best(action: Callable[[], object]) -> float:
    """Return the least time that `action` takes, of as many as fit into a round (seconds)."""
    end = time.perf_counter() + ROUND_SECONDS
    found = float("inf")
    while True:
        begin = time.perf_counter()
        if begin > end and found < float("inf"):
            return found
        action()
        found = min(found, time.perf_counter() - begin)


if __name__ == "__main__":
    main()
