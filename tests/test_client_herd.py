"""An outage does not gather the clients: the herd of the benchmark, in small."""

from __future__ import annotations

import pytest

from tests.benchmarks.client_herd import MAX_PEAK, MAX_REQUESTS, OUTAGES, simulate


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
@pytest.mark.parametrize("is_spread", [True, False])
def test_a_server_that_comes_back_can_bear_what_it_meets(outage: object, is_spread: bool) -> None:
    """P32: jitter on top of every minimum."""
    herd = simulate(2_000, outage, is_spread=is_spread)  # type: ignore[arg-type]

    assert herd.requests <= MAX_REQUESTS
    assert herd.peak <= MAX_PEAK + 0.15  # 200 requests a second vary by chance
    assert herd.recovered == 0
