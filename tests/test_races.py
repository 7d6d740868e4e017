"""Two clients that write one row at the same time, through the processes of a real server."""

from __future__ import annotations

import http.client
import json
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.db import connection

from tests.services import Gunicorn, module

RACES = int(os.environ.get("POLLABLE_RACES", "100"))
URL = "/edited/countries/"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if connection.vendor == "sqlite":
        yield f"sqlite:///{tmp_path}/races.sqlite3"
        return
    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE pollable_races")
    yield urlsplit(os.environ["DATABASE_URL"])._replace(path="/pollable_races").geturl()
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE pollable_races{' WITH (FORCE)' if connection.vendor == 'postgresql' else ''}")


@pytest.fixture(params=[False, True], ids=["", "ATOMIC_REQUESTS"])
def port(request: pytest.FixtureRequest, database: str, tmp_path: Path) -> Iterator[int]:
    module("gunicorn")
    server = Gunicorn(tmp_path, {"DATABASE_URL": database, "POLLABLE_CHAOS_ATOMIC": str(int(request.param))})
    yield server.port
    server.stop()


def ask(port: int, method: str, url: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any], str | None]:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    link.request(method, url, json.dumps(body), {"Content-Type": "application/json", **headers})
    answer = link.getresponse()
    found = answer.status, json.loads(answer.read()), answer.headers["ETag"]
    link.close()
    return found


def race(port: int, *, with_tag: bool) -> Counter[tuple[int, ...]]:
    """Let two clients add 1 to what both have read, again and again; return how often they got which statuses."""
    ask(port, "POST", URL, {"code": "a", "name": "0"})
    start = Barrier(2)

    def add(name: str, etag: str) -> int:
        start.wait(60)
        headers = {"If-Match": etag} if with_tag else {}
        return ask(port, "PATCH", f"{URL}a/", {"name": str(int(name) + 1)}, **headers)[0]

    counted: Counter[tuple[int, ...]] = Counter()
    with ThreadPoolExecutor(2) as pool:
        for _ in range(RACES):
            _, row, etag = ask(port, "GET", f"{URL}a/")
            counted[tuple(sorted(pool.map(add, [row["name"]] * 2, [str(etag)] * 2)))] += 1
    return counted


def test_of_two_who_write_the_same_state_one_gets_412_and_no_update_is_lost(port: int) -> None:
    counted = race(port, with_tag=True)

    print(f"{connection.vendor}: {dict(counted)}")
    assert counted == {(200, 412): RACES}
    assert ask(port, "GET", f"{URL}a/")[1]["name"] == str(RACES)


def test_the_tag_of_an_answer_is_as_good_as_one_that_was_read(port: int) -> None:
    """Each of three adds 1 to what its last answer showed, and reads only where that had no tag or it was late."""
    ask(port, "POST", URL, {"code": "a", "name": "0"})
    steps = RACES // 4

    def climb(_: int) -> int:
        done, tags, etag, row = 0, 0, None, {}
        while done < steps:
            if etag is None:
                _, row, etag = ask(port, "GET", f"{URL}a/")
            found = ask(port, "PATCH", f"{URL}a/", {"name": str(int(row["name"]) + 1)}, **{"If-Match": str(etag)})
            done += found[0] == 200
            _, row, etag = found if found[0] == 200 else (412, {}, None)
            tags += etag is not None
        return tags

    with ThreadPoolExecutor(3) as pool:
        tags = sum(pool.map(climb, range(3)))

    print(f"{connection.vendor}: {3 * steps} updates, {tags} answers with a tag")
    assert ask(port, "GET", f"{URL}a/")[1]["name"] == str(3 * steps)


def test_two_who_write_without_a_tag_lose_updates(port: int) -> None:
    """The control: it is If-Match that saves them."""
    counted = race(port, with_tag=False)

    assert counted == {(200, 200): RACES}
    assert ask(port, "GET", f"{URL}a/")[1]["name"] == str(RACES)  # of twice as many
