"""The page that Prometheus scrapes (extra `metrics`): what processes count, and where the feeds stand."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable
from hashlib import blake2s

from django.db import Error, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from django_pollable.conf import conf
from django_pollable.ledger.options import FeedOptions
from django_pollable.ledger.status import census_of, feeds_on, status_of
from django_pollable.ledger.triggers import compare
from django_pollable.memory import Remembered

CENSUS_SECONDS = 60.0
"""How long a process remembers what is expensive to find out: it is counted anew at the first scrape after that."""

OF_EACH_FEED = {
    "head": "The last number that was given to a change.",
    "horizon": "The highest number of a change that was pruned.",
    "pending_changes": "Committed changes without a number, counted up to 100000.",
    "quiet_seconds": "Since the newest change that is kept got its number.",
    "retained_seconds": "How far back a cursor may lie.",
    "trusted": "0 while changes may go unseen, until `manage.py pollable install`.",
    "epoch": "A number that stands for the epoch: another one after each reset.",
    "kept_changes": "Changes that are kept, tombstones among them.",
    "tombstones": "Kept changes of rows that are gone.",
}

_remembered: Remembered[dict[str, float]] = Remembered(1024)


@require_safe
@transaction.non_atomic_requests
def metrics(request: HttpRequest) -> HttpResponse:
    """
    Answer a scrape: all that is in the default registry, and where the feeds stand.

    Where `PROMETHEUS_MULTIPROC_DIR` is set it speaks for all processes that share it. Anybody may ask,
    unless the project sees to it.
    """
    registry = CollectorRegistry()
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry.register(REGISTRY)
    registry.register(FeedCollector())
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry), content_type=content_type, headers={"Cache-Control": "no-store"})


class FeedCollector(Collector):
    """Where each feed stands in each database that has it: four indexed look-ups a feed, at each scrape."""

    def collect(self) -> Iterable[Metric]:
        """Return the gauges; of a database that does not answer only that it does not."""
        of_feeds = {
            name: GaugeMetricFamily(f"pollable_feed_{name}", description, labels=["feed", "database"])
            for name, description in OF_EACH_FEED.items()
        }
        up = GaugeMetricFamily("pollable_database_up", "1 where feeds could be looked at, else 0.", labels=["database"])
        differences = GaugeMetricFamily(
            "pollable_trigger_differences",
            "Triggers that are missing or stale, and feeds that wait for `manage.py pollable install`.",
            labels=["database"],
        )
        for using in connections:
            feeds = feeds_on(using)
            if not feeds:
                continue
            try:
                values = {feed.name: _values_of(feed, using) for feed in feeds}
                different = _remember(_differences, using)
            except Error:
                up.add_metric([using], 0)
                continue
            up.add_metric([using], 1)
            differences.add_metric([using], different["triggers"])
            for feed_name, known in values.items():
                for name, value in known.items():
                    of_feeds[name].add_metric([feed_name, using], value)
        retention = GaugeMetricFamily(
            "pollable_retention_seconds", "POLLABLE_RETENTION_SECONDS.", value=conf.retention_seconds
        )
        return [up, differences, retention, *of_feeds.values()]


def _values_of(feed: FeedOptions, using: str) -> dict[str, float]:
    """Return the values of `OF_EACH_FEED` that there are."""
    status = status_of(feed, using)
    if status is None:
        return {}
    census = _remember(_census, feed, using)
    quiet = {} if status.quiet_seconds is None else {"quiet_seconds": status.quiet_seconds}
    return {
        "head": status.head,
        "horizon": status.horizon,
        "pending_changes": status.pending,
        "retained_seconds": status.retained_seconds,
        "trusted": status.is_trusted,
        "epoch": int.from_bytes(blake2s(status.epoch.encode(), digest_size=6).digest(), "big"),
        **quiet,
        **census,
    }


def _census(feed: FeedOptions, using: str) -> dict[str, float]:
    census = census_of(feed, using)
    return {"kept_changes": census.changes, "tombstones": census.tombstones}


def _differences(using: str) -> dict[str, float]:
    found = compare(using)
    return {"triggers": sum(map(len, (found.missing, found.stale, found.waiting, found.untrusted)))}


def _remember(ask: Callable[..., dict[str, float]], *about: Hashable) -> dict[str, float]:
    """Return what `ask` says, from memory where it was asked lately."""
    known = _remembered.get((ask.__name__, *about), CENSUS_SECONDS)
    if known is None:
        known = ask(*about)
        _remembered.put((ask.__name__, *about), known)
    return known
