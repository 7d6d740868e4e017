"""What a client counts."""

from __future__ import annotations

from contextlib import suppress

import pytest

from django_pollable.client.metrics import count_polls
from django_pollable.client.poller import Poller
from django_pollable.client.session import PollingStopped
from tests.faulty import FaultyServer, answer, page, script
from tests.samples import Samples


def test_a_poller_counts_its_polls_rows_and_waits() -> None:
    samples = Samples()
    first = answer(200, page("a", {"id": 1}, {"id": 2}, removed=["9"]), ETag='"a"')
    answers = script([first], [answer(304)], [answer(503)], [answer(410)], [answer(401)])
    waits: list[float] = []
    with FaultyServer(answers) as server, suppress(PollingStopped):
        poller = Poller(server.url, on_event=count_polls("builds", clock=lambda: 1000), sleep=waits.append)
        poller.run(lambda _: None)

    kinds = ("page", "idle", "backoff", "resync", "stop")
    assert [samples("pollable_client_polls_total", feed="builds", kind=kind) for kind in kinds] == [1] * 5
    assert samples("pollable_client_poll_duration_seconds_count", feed="builds") == 5
    assert samples("pollable_client_rows_total", feed="builds", change="shown") == 2
    assert samples("pollable_client_rows_total", feed="builds", change="removed") == 1
    assert samples("pollable_client_wait_seconds_total", feed="builds") == pytest.approx(sum(waits))
    assert samples("pollable_client_received_bytes_total", feed="builds") == poller.state.size > 50
    assert samples("pollable_client_last_success_timestamp_seconds", feed="builds") == 1000
