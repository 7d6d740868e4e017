"""Prometheus metrics of clients (extra `metrics`): a listener for `on_event`."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import Counter, Gauge, Histogram

from django_pollable.client.session import Event

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)

POLLS = Counter("pollable_client_polls", "Polls that this client has made, by what came of them.", ["feed", "kind"])
POLL_SECONDS = Histogram(
    "pollable_client_poll_duration_seconds", "From the request to the end of the answer.", ["feed"], buckets=SECONDS
)
BYTES = Counter("pollable_client_received_bytes", "Bodies of answers, decompressed.", ["feed"])
ROWS = Counter("pollable_client_rows", "Rows of pages, by whether they were shown or removed.", ["feed", "change"])
WAIT_SECONDS = Counter("pollable_client_wait_seconds", "What the client has decided to wait after polls.", ["feed"])
SUCCEEDED_AT = Gauge(
    "pollable_client_last_success_timestamp_seconds",
    "When a page or a 304 came last (Unix time).",
    ["feed"],
    multiprocess_mode="mostrecent",
)


def count_polls(feed: str, *, clock: Callable[[], float] = time.time) -> Callable[[Event], None]:
    """
    Return what a poller takes as `on_event`, and counts its polls under the label `feed`.

    Let `feed` be a name of yours: a URL can have a credential in it, and too many values.
    """

    def count(event: Event) -> None:
        POLLS.labels(feed, event.kind).inc()
        POLL_SECONDS.labels(feed).observe(event.seconds)
        BYTES.labels(feed).inc(event.size)
        ROWS.labels(feed, "shown").inc(event.items)
        ROWS.labels(feed, "removed").inc(event.removed)
        WAIT_SECONDS.labels(feed).inc(event.wait)
        if event.kind in ("page", "idle"):
            SUCCEEDED_AT.labels(feed).set(clock())

    return count
