"""Backups: what the databases' own tools make of a ledger, and what clients of a restored one are told."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection

from tests.services import program

pytestmark = pytest.mark.django_db(transaction=True)

RESTORED = f"pollable_restored_{os.getpid()}"


def execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def run(url: str, *command: str) -> str:
    environment = os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.chaos.settings"}
    done = subprocess.run(
        [sys.executable, "-m", *command], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def work(url: str, *commands: str) -> Any:
    """Write and poll in a process of its own; return the answers of the polls."""
    return json.loads(run(url, "tests.restored", *commands))


def names(answer: Any) -> list[str]:
    return [item["name"] for item in answer["items"]]


def copy_sqlite(source: str, folder: Path) -> str:
    restored = folder / "restored.sqlite3"
    live = sqlite3.connect(source.removeprefix("sqlite:///"))
    with closing(live), closing(sqlite3.connect(restored)) as backup:
        live.backup(backup)
    return f"sqlite:///{restored}"


def copy_postgresql(source: str, folder: Path) -> str:
    restored = urlsplit(source)._replace(path=f"/{RESTORED}").geturl()
    subprocess.run([program("pg_dump"), "-Fc", "-f", folder / "dump", source], check=True)
    subprocess.run([program("pg_restore"), "--exit-on-error", "-d", restored, folder / "dump"], check=True)
    return restored


def copy_mysql(source: str, folder: Path) -> str:
    parts = urlsplit(source)
    options = ["-h", parts.hostname or "", "-P", str(parts.port or 3306), "-u", parts.username or ""]
    options += [f"-p{parts.password}"] if parts.password else []
    with (folder / "dump").open("w") as dump:
        dumping = [program("mysqldump"), *options, "--single-transaction", "--triggers", parts.path[1:]]
        subprocess.run(dumping, check=True, stdout=dump)
    with (folder / "dump").open() as dump:
        subprocess.run([program("mysql"), *options, RESTORED], check=True, stdin=dump)
    return parts._replace(path=f"/{RESTORED}").geturl()


COPY = {"sqlite": copy_sqlite, "postgresql": copy_postgresql, "mysql": copy_mysql}


@pytest.fixture
def _empty(transactional_db: None) -> Iterator[None]:
    """Have a database to restore into."""
    if connection.vendor == "sqlite":
        yield
        return
    execute(f"CREATE DATABASE {RESTORED}")
    yield
    execute(f"DROP DATABASE {RESTORED}")


@pytest.mark.usefixtures("_empty")
def test_a_backup_has_the_ledger_and_its_triggers_and_must_begin_anew(database: str, tmp_path: Path) -> None:
    run(database, "django", "migrate", "-v0")
    (first,) = work(database, "+one", "", "+two")
    restored = COPY[connection.vendor](database, tmp_path)
    (late,) = work(database, "+lost", first["next_since"])

    assert "triggers in place" in run(restored, "django", "pollable", "check")
    behind, ahead = work(restored, first["next_since"], late["next_since"])
    assert names(behind) == ["two"]
    assert ahead["reason"] == "epoch-changed"

    _, deceived = work(restored, "+three", first["next_since"], late["next_since"])
    assert names(deceived) == []  # the number of "lost" is that of "three" now: what the guide warns of

    run(restored, "django", "pollable", "epoch", "shop.item")
    answers = work(restored, first["next_since"], late["next_since"])
    assert [answer["reason"] for answer in answers] == ["epoch-changed", "epoch-changed"]


def test_a_ledger_that_is_taken_away_is_in_nobodys_way(database: str) -> None:
    run(database, "django", "migrate", "-v0")
    (first,) = work(database, "")
    run(database, "django", "migrate", "-v0", "pollable", "zero")
    work(database, "+unseen")
    run(database, "django", "migrate", "-v0")

    (after,) = work(database, first["next_since"])
    assert after["reason"] == "epoch-changed"
