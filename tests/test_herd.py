"""The simulation of a crowd, with a smaller one."""

from __future__ import annotations

from tests.benchmarks.herd import STRATEGIES, course, plot, table

OURS, FIXED = "as this server: a poll interval, and up to one more", "a poll interval for everybody"
CLIENTS = 10_000


def test_a_crowd_comes_back_as_it_was() -> None:
    crowd = course(STRATEGIES[OURS], clients=CLIENTS)

    assert crowd.peak <= 1.3
    assert (crowd.seconds_to_95_percent or 999) <= 60
    assert crowd.requests_in_outage <= 5


def test_the_simulation_can_see_a_herd() -> None:
    assert course(STRATEGIES[FIXED], clients=CLIENTS).peak > 8


def test_the_results_are_a_table_and_a_plot() -> None:
    courses = {name: course(STRATEGIES[name], clients=1000) for name in (OURS, FIXED)}

    assert table(courses).count("\n") == 3
    assert plot(courses).count("<polyline") == 2
