"""What a process counts of itself, and the operator's switch."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.db import DatabaseError, InterfaceError, OperationalError, ProgrammingError, connection, transaction
from django.test import override_settings

from django_pollable import overload
from django_pollable.exceptions import ReducedCapacity
from django_pollable.overload import LOOK_SECONDS, Switch, Traffic
from tests.clocks import Clock


def test_the_load_is_the_average_of_the_last_seconds() -> None:
    clock = Clock()
    traffic = Traffic(clock)
    traffic.begin()
    clock.now += 100
    busy = traffic.load
    traffic.begin()
    traffic.end()
    traffic.end()
    clock.now += 100

    assert busy == pytest.approx(1, abs=0.01)
    assert traffic.load == pytest.approx(0, abs=0.01)


def test_no_more_than_the_most_are_under_way() -> None:
    traffic = Traffic()

    assert [traffic.begin(most=2) for _ in range(3)] == [True, True, False]
    traffic.end()
    assert traffic.begin(most=2)


def test_a_pause_is_noticed_within_a_second_and_can_end_by_itself() -> None:
    clock = Clock()
    switch = Switch(clock)
    assert not switch.is_paused

    overload.pause(None)
    clock.now += LOOK_SECONDS
    assert switch.is_paused

    overload.resume()
    assert switch.is_paused
    clock.now += LOOK_SECONDS
    assert not switch.is_paused


@override_settings(CACHES={"default": {"BACKEND": "tests.down.DownCache"}})
def test_a_cache_that_is_down_pauses_nobody(caplog: pytest.LogCaptureFixture) -> None:
    assert not Switch().is_paused


def test_the_slots_of_first_syncs_are_limited() -> None:
    with override_settings(POLLABLE_FIRST_SYNC_SLOTS=1):
        with overload.first_sync_slot(), pytest.raises(ReducedCapacity), overload.first_sync_slot():
            pass
        with overload.first_sync_slot():
            pass


def test_a_thousand_clients_come_back_in_the_second_poll_interval_from_now() -> None:
    told = {overload.reduced_capacity("x").retry_after for _ in range(1000)}

    assert told == set(range(5, 11))


@pytest.mark.parametrize(
    ("error", "is_outage"),
    [
        (OperationalError("connection refused"), True),
        (InterfaceError("connection already closed"), True),
        (OperationalError('connection to server on socket "/run/x" failed: No such file or directory'), True),
        (OperationalError(2002, "Can't connect to local server through socket '/run/x' (2)"), True),
        (OperationalError(1054, "Unknown column 'x' in 'SELECT'"), False),
        (ProgrammingError("syntax"), False),
    ],
)
def test_an_outage_is_not_a_wrong_query(error: Any, is_outage: bool) -> None:
    assert overload.is_outage(error) == is_outage


@pytest.mark.django_db
@pytest.mark.parametrize(
    "sql", ["SELECT nothing FROM shop_item", "SELECT 1 FROM nothing", "SELECT nothing(1)", "SELECT ("]
)
def test_a_wrong_query_is_no_outage_of_any_database(sql: str) -> None:
    with pytest.raises(DatabaseError) as caught, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)

    assert not overload.is_outage(caught.value)


def test_a_locked_sqlite_is_an_outage(tmp_path: Path) -> None:
    holder, waiter = (sqlite3.connect(tmp_path / "db", timeout=0, isolation_level=None) for _ in range(2))
    holder.execute("BEGIN EXCLUSIVE")

    with pytest.raises(sqlite3.OperationalError, match="locked") as caught:
        waiter.execute("BEGIN EXCLUSIVE")
    error = OperationalError("database is locked")
    error.__cause__ = caught.value

    assert overload.is_outage(error)
    holder.close()
    waiter.close()


@pytest.fixture(autouse=True)
def _unpaused() -> Any:
    yield
    cache.clear()
