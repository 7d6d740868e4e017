"""No interleaving loses a row: real processes, real databases."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connection

SECONDS = os.environ.get("POLLABLE_CHAOS_SECONDS", "5")

pytestmark = [pytest.mark.chaos, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if connection.vendor == "sqlite":
        yield f"sqlite:///{tmp_path}/chaos.sqlite3"
        return
    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE pollable_chaos")
    yield urlsplit(os.environ["DATABASE_URL"])._replace(path="/pollable_chaos").geturl()
    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE pollable_chaos")


def chaos(database: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.chaos", SECONDS, *arguments],
        env=os.environ | {"DATABASE_URL": database} | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_every_client_ends_with_exactly_the_rows_of_the_server(database: str) -> None:
    run = chaos(database)

    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr


def test_no_client_loses_a_row_where_it_is_refused(database: str, request: pytest.FixtureRequest) -> None:
    """The fast clients meet the limit all the time. Without a Redis each server counts for itself."""
    is_shared = shutil.which("redis-server") or "POLLABLE_REQUIRE_SERVICES" in os.environ
    cache = {"CACHE_URL": request.getfixturevalue("redis").url} if is_shared else {}

    run = chaos(database, POLLABLE_CHAOS_RATE="5/s", **cache)

    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_chaos_can_see_a_loss(database: str) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time: ids are in the order of commits")

    assert chaos(database, "--naive").returncode == 3
