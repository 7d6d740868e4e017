"""Polls that read PostgreSQL's standbys: later than the primary, and never wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection

from tests.chaos.client import Answer, Client
from tests.clusters import Standby
from tests.services import Gunicorn, Postgres, Redis

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(connection.vendor != "sqlite", reason="has servers of its own: runs once, with SQLite"),
]


@dataclass(frozen=True)
class Site:
    """A primary with two standbys, and a server of several processes for each of the three."""

    primary: Postgres
    near: Standby
    far: Standby
    servers: dict[Postgres, Gunicorn]
    tenant: int = 0

    def write(self, *names: str) -> None:
        with self.primary.connect() as database:
            for name in names:
                database.execute(
                    "INSERT INTO shop_item (tenant_id, name, status, count, data) VALUES (%s, %s, 'open', 0, '{}')",
                    [self.tenant, name],
                )

    def manage(self, *command: str) -> None:
        environment = self.servers[self.primary].environment
        subprocess.run([sys.executable, "-m", "django", *command], env=environment, check=True, capture_output=True)

    def settle(self, *caught_up: Standby) -> None:
        self.manage("pollable", "settle")
        for standby in caught_up:
            standby.catch_up()

    def ask(self, database: Postgres, *, etag: str = "", **query: object) -> Answer:
        client = Client("one", [self.servers[database].port], "", {}, 0)
        client._etag = etag
        return client._ask(f"/chaos/{self.tenant}/items/?{urlencode(query)}")


def page_of(answer: Answer) -> Any:
    assert answer.status == 200, answer
    return json.loads(answer.body)


def names_in(answer: Answer) -> list[str]:
    return [item["name"] for item in page_of(answer)["items"]]


def cursor_in(answer: Answer) -> str:
    return str(page_of(answer)["next_since"])


def problem_of(answer: Answer) -> tuple[int, str | None, str]:
    body = json.loads(answer.body)
    return answer.status, answer.headers["Retry-After"], body.get("reason") or body["type"].rpartition(":")[2]


FRESH = {"POLLABLE_CHAOS_PUBLISH_SECONDS": "0"}
KEPT_SECONDS = 2
KEPT = {"POLLABLE_CHAOS_PUBLISH_SECONDS": str(KEPT_SECONDS)}
LATER = (503, "1", "not-yet-available")
ANEW = (410, None, "epoch-changed")


def serve(database: Postgres, folder: Path, stack: ExitStack, **environment: str) -> Gunicorn:
    """Start a server that reads `database`."""
    if isinstance(database, Standby):
        environment["POLLABLE_CHAOS_STANDBYS"] = database.url
        database = database.primary
    server = Gunicorn(folder, {"DATABASE_URL": database.url, **environment})
    stack.callback(server.stop)
    return server


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ExitStack() as stack:
        primary = Postgres()
        stack.callback(primary.remove)
        standbys = []
        for _ in range(2):
            standbys.append(Standby(primary))
            stack.callback(standbys[-1].remove)
        folder = tmp_path_factory.mktemp("servers")
        servers = {database: serve(database, folder, stack, **FRESH) for database in (primary, *standbys)}
        yield Site(primary, *standbys, servers)


@pytest.fixture
def site(started: Site) -> Iterator[Site]:
    """The site with an empty tenant, which all three databases have."""
    with started.primary.connect() as database:
        (tenant,) = database.execute("INSERT INTO shop_tenant (name) VALUES ('a') RETURNING id").fetchone()
    for standby in (started.near, started.far):
        standby.catch_up()
    yield replace(started, tenant=tenant)
    started.far.go_on()


def test_polls_of_a_standby_try_to_write_nothing(site: Site) -> None:
    site.write("one")
    site.near.catch_up()

    answers = [site.ask(site.near, since="now") for _ in range(40)]

    assert {answer.status for answer in answers} == {200}
    assert "ERROR" not in site.near.log
    assert "could not be settled" not in site.servers[site.near].log.read_text()
    site.settle(site.near)
    assert names_in(site.ask(site.near, since=cursor_in(answers[0]))) == ["one"]


def test_a_cursor_ahead_of_a_standby_is_for_later(site: Site) -> None:
    site.far.hold_back()
    site.write("one")
    site.settle(site.near)
    ahead = site.ask(site.near)

    early = site.ask(site.far, since=cursor_in(ahead), etag=ahead.headers["ETag"])
    site.far.go_on()
    site.far.catch_up()

    assert problem_of(early) == LATER
    assert early.headers["Cache-Control"] == "no-store"
    assert site.ask(site.far, since=cursor_in(ahead), etag=ahead.headers["ETag"]).status == 304


def test_a_standby_that_lags_tells_what_it_has(site: Site) -> None:
    site.write("one")
    site.settle(site.far)
    first = site.ask(site.far)
    site.far.hold_back()
    site.write("two")
    site.settle()

    assert names_in(site.ask(site.far)) == ["one"]
    assert site.ask(site.far, since=cursor_in(first), etag=first.headers["ETag"]).status == 304
    site.far.go_on()
    site.far.catch_up()
    assert names_in(site.ask(site.far, since=cursor_in(first), etag=first.headers["ETag"])) == ["two"]


def test_a_first_sync_from_two_standbys_by_turns(site: Site) -> None:
    site.write("one", "two", "three", "four")
    site.settle(site.near, site.far)
    site.far.hold_back()
    site.write("five")
    site.settle(site.near)

    first = site.ask(site.near, limit=2)
    early = site.ask(site.far, limit=2, since=cursor_in(first))
    site.far.go_on()
    site.far.catch_up()
    second = site.ask(site.far, limit=2, since=cursor_in(first))
    third = site.ask(site.near, limit=2, since=cursor_in(second))

    assert problem_of(early) == LATER
    assert [names_in(page) for page in (first, second, third)] == [["one", "two"], ["three", "four"], ["five"]]


def test_a_history_that_begins_anew_is_told_when_a_standby_knows(site: Site) -> None:
    before = site.ask(site.near)
    site.far.hold_back()
    site.manage("pollable", "epoch", "shop.item")
    site.near.catch_up()
    after = site.ask(site.near)

    assert problem_of(site.ask(site.near, since=cursor_in(before))) == ANEW
    assert problem_of(site.ask(site.far, since=cursor_in(after))) == LATER
    assert names_in(site.ask(site.far, since=cursor_in(before))) == []
    site.far.go_on()
    site.far.catch_up()
    assert problem_of(site.ask(site.far, since=cursor_in(before))) == ANEW


def test_the_primary_may_wait_for_what_a_standby_shows(site: Site) -> None:
    """With synchronous replication a commit is seen on standbys before it is seen on the primary."""
    start = cursor_in(site.ask(site.near))
    site.write("one")
    with site.primary.connect(autocommit=True) as database:
        database.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        database.execute("SELECT pg_reload_conf()")
        command = [sys.executable, "-m", "django", "pollable", "settle"]
        with subprocess.Popen(command, env=site.servers[site.primary].environment) as settling:
            while not names_in(ahead := site.ask(site.near, since=start)):
                time.sleep(0.05)

            early = site.ask(site.primary, since=cursor_in(ahead))
            database.execute("ALTER SYSTEM RESET synchronous_standby_names")
            database.execute("SELECT pg_reload_conf()")

    assert settling.returncode == 0
    assert problem_of(early) == LATER
    assert site.ask(site.primary, since=cursor_in(ahead), etag=ahead.headers["ETag"]).status == 304


@pytest.fixture
def published(tmp_path: Path, redis: Redis, site: Site) -> Iterator[Site]:
    """The site with a cache in which servers publish heads and pages: all call their standby by one name."""
    with ExitStack() as stack:
        databases: tuple[Postgres, ...] = (site.near, site.far)
        servers = {database: serve(database, tmp_path, stack, CACHE_URL=redis.url, **KEPT) for database in databases}
        yield replace(site, servers=site.servers | servers)


def test_a_published_head_is_not_that_of_a_standby_that_lags(published: Site) -> None:
    start = cursor_in(published.ask(published.near))
    published.far.hold_back()
    published.write("one")
    published.settle(published.near)
    time.sleep(KEPT_SECONDS)
    there = published.ask(published.near, since="now")
    early = published.ask(published.far, since=start)
    published.far.go_on()

    assert cursor_in(there) != start
    assert problem_of(early) == LATER
    assert names_in(published.ask(published.near, since=start)) == ["one"]
