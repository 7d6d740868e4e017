"""A mirror that is killed while writers write ends with exactly their rows."""

from __future__ import annotations

import os
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
        cursor.execute("CREATE DATABASE pollable_mirror_chaos")
    yield urlsplit(os.environ["DATABASE_URL"])._replace(path="/pollable_mirror_chaos").geturl()
    with connection.cursor() as cursor:
        cursor.execute("DROP DATABASE pollable_mirror_chaos")


def test_a_mirror_ends_with_exactly_the_rows_of_the_server(database: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.chaos.mirroring", SECONDS],
        env=os.environ | {"DATABASE_URL": database},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
