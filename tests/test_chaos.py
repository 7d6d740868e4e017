"""No interleaving loses a row: real processes, real databases."""

from __future__ import annotations

import os
import shutil

import pytest
from django.db import connection

from tests.chaos import REMEMBERED, chaos

pytestmark = pytest.mark.chaos


@pytest.fixture
def cache(request: pytest.FixtureRequest) -> dict[str, str]:
    """What names a Redis, where there is one."""
    is_shared = shutil.which("redis-server") or "POLLABLE_REQUIRE_SERVICES" in os.environ
    return {"CACHE_URL": request.getfixturevalue("redis").url} if is_shared else {}


def test_every_client_ends_with_exactly_the_rows_of_the_server(database: str) -> None:
    run = chaos(DATABASE_URL=database)

    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr


def test_no_client_loses_a_row_where_it_is_refused(database: str, cache: dict[str, str]) -> None:
    """The fast clients meet the limit all the time. Without a Redis each server counts for itself."""
    run = chaos(DATABASE_URL=database, POLLABLE_CHAOS_RATE="5/s", **cache)

    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr


def test_no_client_loses_a_row_to_heads_and_pages_from_memory(database: str, cache: dict[str, str]) -> None:
    """Without a Redis each server remembers its own."""
    run = chaos(DATABASE_URL=database, **REMEMBERED, **cache)

    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_chaos_can_see_a_loss(database: str) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time: ids are in the order of commits")

    assert chaos("--naive", DATABASE_URL=database).returncode == 3
