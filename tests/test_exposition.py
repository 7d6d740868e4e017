"""The page that Prometheus scrapes."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, connection, connections
from django.test import Client, override_settings
from django.urls import path
from prometheus_client.parser import text_string_to_metric_families

from django_pollable import exposition
from django_pollable.ledger import history
from django_pollable.ledger.options import feed_of
from django_pollable.ledger.sequencer import settle_all
from django_pollable.ledger.tables import Change
from django_pollable.ledger.triggers import drop, install
from django_pollable.memory import Remembered
from tests.shop.models import Log

urlpatterns = [path("metrics", exposition.metrics)]
pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db(transaction=True, databases=["default", "archive"])]
SHOWN = {"feed": "shop.log", "database": "default"}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(exposition, "_remembered", Remembered(99, clock=lambda: now[0]))
    return now


def scrape(name: str, **labels: str) -> float | None:
    """Return the value of the sample with these labels."""
    text = Client().get("/metrics").content.decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return next((found.value for found in samples if (found.name, found.labels) == (name, labels)), None)


def test_a_scrape_tells_where_each_feed_stands() -> None:
    settle_all(feed_of(Log), using="default")
    before = scrape("pollable_feed_head", **SHOWN)
    Log.objects.create(text="a")
    pending = scrape("pollable_feed_pending_changes", **SHOWN)
    settle_all(feed_of(Log), using="default")

    assert pending == (0 if connection.vendor == "sqlite" else 1)
    assert (scrape("pollable_feed_head", **SHOWN) or 0) - (before or 0) == 1
    assert 0 <= (scrape("pollable_feed_quiet_seconds", **SHOWN) or 0) < 60
    assert scrape("pollable_feed_trusted", **SHOWN) == 1
    assert scrape("pollable_database_up", database="default") == scrape("pollable_database_up", database="archive") == 1


def test_a_quiet_time_that_nobody_knows_is_not_told() -> None:
    Change.objects.all().delete()

    assert scrape("pollable_feed_quiet_seconds", **SHOWN) is None


def test_a_reset_changes_the_number_of_the_epoch() -> None:
    before = [scrape("pollable_feed_epoch", **SHOWN) for _ in range(2)]
    history.renew(feed_of(Log), "default")

    assert before[0] == before[1] != scrape("pollable_feed_epoch", **SHOWN)


def test_a_census_is_taken_once_a_minute(clock: list[float]) -> None:
    settle_all(feed_of(Log), using="default")
    before = scrape("pollable_feed_tombstones", **SHOWN) or 0
    Log.objects.create(text="a").delete()
    settle_all(feed_of(Log), using="default")
    remembered = scrape("pollable_feed_tombstones", **SHOWN)
    clock[0] += exposition.CENSUS_SECONDS

    assert remembered == before
    assert scrape("pollable_feed_tombstones", **SHOWN) == before + 1


@pytest.mark.usefixtures("_reinstalled")
def test_triggers_that_are_missing_are_told() -> None:
    install("default")
    before = scrape("pollable_trigger_differences", database="default")
    drop("default", [Log._meta.db_table])
    exposition._remembered.clear()

    assert before == 0
    assert (scrape("pollable_trigger_differences", database="default") or 0) >= 3


def test_of_a_database_that_fails_only_that_is_told() -> None:
    def fail(*args: Any) -> Any:
        raise OperationalError("gone")

    with connections["default"].execute_wrapper(fail):
        assert scrape("pollable_database_up", database="default") == 0
        assert scrape("pollable_database_up", database="archive") == 1
        assert scrape("pollable_feed_head", **SHOWN) is None


@override_settings(POLLABLE_RETENTION_SECONDS=77)
def test_the_retention_is_told() -> None:
    assert scrape("pollable_retention_seconds") == 77


def test_prometheus_gets_the_format_that_it_asks_for(client: Client) -> None:
    plain, open_metrics = (
        client.get("/metrics", headers={"Accept": kind}) for kind in ("*/*", "application/openmetrics-text")
    )

    assert plain["Content-Type"].startswith("text/plain")
    assert open_metrics["Content-Type"].startswith("application/openmetrics-text")
    assert open_metrics.content.endswith(b"# EOF\n")
    assert plain["Cache-Control"] == "no-store"
    assert client.post("/metrics").status_code == 405
