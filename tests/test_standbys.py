"""Polls that read PostgreSQL's standbys: later than the primary, and never wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import pytest
from django.db import connection

from tests.chaos import REMEMBERED, chaos
from tests.chaos.client import Answer, Client, end
from tests.chaos.outages import Poller, answers_of, through_an_outage, unpromised
from tests.clusters import Standby
from tests.services import Gunicorn, Postgres, Redis

T = TypeVar("T")

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

    def head(self) -> int:
        """Return the newest number, without a poll that gives one."""
        with self.primary.connect() as database:
            return int(database.execute("SELECT sequence FROM pollable_feed WHERE name = 'shop.item'").fetchone()[0])

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


def eventually(ask: Callable[[], T], is_it: Callable[[T], object]) -> T:
    """Return the first answer that is as wanted."""
    for _ in range(600):
        answer = ask()
        if is_it(answer):
            return answer
        time.sleep(0.05)
    raise TimeoutError(str(answer))


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
        servers = {database: serve(database, folder, stack) for database in (primary, *standbys)}
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
    site.primary.set("synchronous_standby_names", "nobody")
    command = [sys.executable, "-m", "django", "pollable", "settle"]
    with subprocess.Popen(command, env=site.servers[site.primary].environment) as settling:
        try:
            ahead = eventually(lambda: site.ask(site.near, since=start), names_in)
            early = site.ask(site.primary, since=cursor_in(ahead))
        finally:
            site.primary.set("synchronous_standby_names", "")

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


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Site]:
    """
    A primary and a standby of the test's own, which may die.

    A standby that returns may show less than before, as far back as when it was copied: it is copied with the tables.
    """
    with ExitStack() as stack:
        primary = Postgres()
        stack.callback(primary.remove)
        servers = {primary: serve(primary, tmp_path, stack)}
        with primary.connect() as database:
            database.execute("INSERT INTO shop_tenant (id, name) VALUES (1, 'a')")
        standby = Standby(primary)
        stack.callback(standby.remove)
        yield Site(primary, standby, standby, servers, tenant=1)


@pytest.mark.parametrize("is_atomic", ["0", "1"])
def test_a_standby_that_dies_and_returns(pair: Site, tmp_path: Path, is_atomic: str) -> None:
    with ExitStack() as stack:
        server = serve(pair.near, tmp_path, stack, POLLABLE_CHAOS_ATOMIC=is_atomic)
        pollers = [Poller(str(number), [server.port], "/chaos/1/items/", {}, 0.005) for number in range(4)]
        before, without, afterwards = map(set, through_an_outage(pair.near, pollers))
        end(pollers)

    assert (before, without | {200, 304}, afterwards | {503}) == ({200, 304}, {200, 304, 503}, {200, 304, 503})
    assert 503 in without
    assert {200, 304} <= afterwards
    assert unpromised(pollers) == []


@pytest.mark.parametrize("is_atomic", ["0", "1"])
def test_a_poll_that_is_in_the_way_of_recovery_is_for_later(pair: Site, tmp_path: Path, is_atomic: str) -> None:
    """A standby cancels what reads a table that the primary has locked for itself."""
    pair.near.set("max_standby_streaming_delay", "0")
    with ExitStack() as stack:
        server = serve(pair.near, tmp_path, stack, POLLABLE_CHAOS_ATOMIC=is_atomic)
        pollers = [Poller(str(number), [server.port], "/chaos/1/items/", {}, 0) for number in range(4)]
        for poller in pollers:
            poller.start()
        locking = stack.enter_context(pair.primary.connect(autocommit=True))
        until = time.monotonic() + 60
        while 503 not in answers_of(pollers) and time.monotonic() < until:
            with locking.transaction():
                locking.execute("LOCK TABLE pollable_feed, shop_item IN ACCESS EXCLUSIVE MODE")
        end(pollers)

    assert "due to conflict with recovery" in pair.near.log
    assert {answer.status for poller in pollers for answer in poller.refusals} == {503}
    assert unpromised(pollers) == []


def promote(pair: Site, folder: Path, stack: ExitStack) -> Site:
    """Return what is left where the primary is gone, with a server that takes the standby for it."""
    pair.near.promote()
    server = Gunicorn(folder, {"DATABASE_URL": pair.near.url})
    stack.callback(server.stop)
    return replace(pair, primary=pair.near, servers={pair.near: server})


def test_a_standby_that_becomes_the_primary_goes_on(pair: Site, tmp_path: Path) -> None:
    pair.write("one")
    pair.settle(pair.near)
    with ExitStack() as stack:
        reading = replace(pair, servers={pair.near: serve(pair.near, tmp_path, stack)})
        before = reading.ask(pair.near)
        pair.primary.stop()
        meanwhile = reading.ask(pair.near, since=cursor_in(before), etag=before.headers["ETag"])
        promoted = promote(pair, tmp_path, stack)
        promoted.write("two")
        promoted.settle()
        after = promoted.ask(pair.near, since=cursor_in(before), etag=before.headers["ETag"])

    assert names_in(before) == ["one"]
    assert meanwhile.status == 304
    assert names_in(after) == ["two"]


def test_a_database_that_was_restored_begins_anew(pair: Site, tmp_path: Path) -> None:
    """The standby is a backup: it is behind when it takes over."""
    early = pair.ask(pair.primary)
    pair.near.catch_up()
    pair.near.stop()
    pair.write("one")
    pair.settle()
    late = pair.ask(pair.primary)
    pair.primary.stop()
    pair.near.start()
    with ExitStack() as stack:
        restored = promote(pair, tmp_path, stack)

        assert problem_of(restored.ask(pair.near, since=cursor_in(late))) == ANEW
        assert names_in(restored.ask(pair.near, since=cursor_in(early))) == []
        restored.manage("pollable", "epoch", "shop.item")
        assert problem_of(restored.ask(pair.near, since=cursor_in(early))) == ANEW


def test_who_settles_for_standbys_outlives_the_primary(pair: Site) -> None:
    pair.write("one")
    command = [sys.executable, "-m", "django", "pollable", "settle", "--forever"]
    with subprocess.Popen(command, env=pair.servers[pair.primary].environment) as settling:
        try:
            eventually(pair.head, lambda head: head == 1)
            pair.primary.stop()
            pair.primary.start()
            pair.write("two")
            eventually(pair.head, lambda head: head == 2)
        finally:
            settling.kill()


@pytest.mark.parametrize("memory", [{}, REMEMBERED], ids=["fresh", "remembered"])
def test_no_client_loses_a_row_to_standbys_that_lag(redis: Redis, memory: dict[str, str]) -> None:
    with ExitStack() as stack:
        primary = Postgres()
        stack.callback(primary.remove)
        standbys = [Standby(primary), Standby(primary)]
        for standby in standbys:
            stack.callback(standby.remove)
        urls = " ".join(standby.url for standby in standbys)
        environment = {"DATABASE_URL": primary.url, "POLLABLE_CHAOS_STANDBYS": urls, "CACHE_URL": redis.url}
        runs = (chaos(**environment, **memory) for _ in range(3))
        run = next((run for run in runs if "proves nothing" not in run.stderr), None)

    assert run is not None, "no client was ahead of a standby"
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
