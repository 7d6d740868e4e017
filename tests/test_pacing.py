"""When clients are told to come back."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from django_pollable.pacing import AdaptiveInterval, Circumstances, retry_after


def test_a_thousand_refusals_are_spread_over_the_poll_interval() -> None:
    dice = random.Random(1)
    told = [retry_after(3, spread=5, draw=dice.random) for _ in range(1000)]

    assert set(told) == set(range(3, 9))
    assert max(Counter(told).values()) < 1.3 * 1000 / 6


@given(st.floats(0, 1e6), st.floats(0, 3600), st.floats(0, 1, exclude_max=True))
def test_nobody_is_told_to_come_too_early(seconds: float, spread: float, drawn: float) -> None:
    told = retry_after(seconds, spread=spread, draw=lambda: drawn)

    assert max(seconds, 1) <= told <= max(seconds, 1) + spread + 2


@pytest.mark.parametrize(
    ("load", "quiet", "interval"),
    [(0, 0, 5), (0.5, 20, 5), (1.9, 0, 5), (2, 0, 10), (9, 0, 40), (0, 200, 10), (0, 10**9, 60), (10**9, 0, 60)],
)
def test_an_adaptive_interval_doubles_with_load_and_quiet(load: float, quiet: float, interval: float) -> None:
    adaptive = AdaptiveInterval(minimum=5, maximum=60)

    assert adaptive(Circumstances(load, quiet)) == interval


@pytest.mark.parametrize(
    "values", [{"minimum": 0}, {"maximum": 1}, {"full_load": 0}, {"quiet_share": -1}, {"minimum": float("nan")}]
)
def test_an_adaptive_interval_that_cannot_be_is_refused_at_once(values: dict[str, float]) -> None:
    with pytest.raises(ImproperlyConfigured):
        AdaptiveInterval(**{"minimum": 5.0, "maximum": 60.0} | values)
