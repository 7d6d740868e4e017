"""Servers that die under load and come back: what clients are told meanwhile, and that nothing is lost."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from tests.chaos.client import Client, catch_up, end
from tests.chaos.outages import Poller, through_an_outage, unpromised
from tests.services import Gunicorn, Postgres, Redis

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(connection.vendor != "sqlite", reason="has servers of its own: runs once, with SQLite"),
]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("is_open", [True, False])
def test_a_redis_that_dies_and_returns(is_open: bool, redis: Redis, tmp_path: Path, stack: ExitStack) -> None:
    environment = {
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "CACHE_URL": redis.url,
        "POLLABLE_CHAOS_RATE": "10/h",
        "POLLABLE_CHAOS_FAIL_OPEN": str(int(is_open)),
    }
    server = Gunicorn(tmp_path, environment)
    stack.callback(server.stop)
    pollers = [Poller(str(number), [server.port], "/chaos/1/items/", {}, 0.005) for number in range(6)]
    before, without, afterwards = map(set, through_an_outage(redis, pollers))
    end(pollers)

    assert before == {200, 304, 429}
    assert without >= ({200, 304} if is_open else {503})
    assert afterwards >= {200, 304, 429}
    assert without | afterwards <= {200, 304, 429} | (set() if is_open else {503})
    assert unpromised(pollers) == []

    late = [Client("late", [server.port], "/chaos/1/items/", {}, 0) for _ in range(100)]
    with ThreadPoolExecutor(8) as pool:
        counted = Counter(pool.map(lambda client: client._ask(client.path).status, late))
    assert counted == {200: 10, 429: 90}


def test_a_pause_is_seen_by_every_process(redis: Redis, tmp_path: Path, stack: ExitStack) -> None:
    server = Gunicorn(tmp_path, {"DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3", "CACHE_URL": redis.url})
    stack.callback(server.stop)
    client = Client("one", [server.port], "/chaos/1/items/", {}, 0)

    def statuses_after(action: str) -> Counter[int]:
        command = [sys.executable, "-m", "django", "pollable", action]
        subprocess.run(command, env=server.environment, check=True, capture_output=True)
        time.sleep(1.1)
        return Counter(client._get(client.path).status for _ in range(30))

    assert statuses_after("pause") == {503: 30}
    assert unpromised([client]) == []
    assert statuses_after("resume") == {200: 30}


@pytest.mark.parametrize("is_atomic", [False, True])
def test_a_postgresql_that_dies_and_returns(
    is_atomic: bool, postgres: Postgres, tmp_path: Path, stack: ExitStack
) -> None:
    environment = {"DATABASE_URL": postgres.url, "POLLABLE_CHAOS_ATOMIC": str(int(is_atomic))}
    server = Gunicorn(tmp_path, environment)
    stack.callback(server.stop)
    with postgres.connect() as database:
        database.execute("INSERT INTO shop_tenant (id, name) VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    writers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.writer", str(random.randrange(10**9)), path], env=server.environment
        )
        for path in ("all", "all", "inserts")
    ]
    for writer in writers:
        stack.callback(writer.kill)
    clients = [
        Client("whole", [server.port], "/chaos/all/items/", {}, 0.01),
        Client("pages", [server.port], "/chaos/all/items/", {"limit": 7}, 0.05),
        Client("scope", [server.port], "/chaos/1/items/", {}, 0.02),
    ]
    pollers = [Poller(str(number), [server.port], "/chaos/2/items/", {}, 0.01) for number in range(4)]
    _, without, afterwards = through_an_outage(postgres, [*clients, *pollers])
    for writer in writers:
        assert writer.poll() is None
        writer.kill()
        writer.wait()
    end(pollers)
    catch_up(clients)

    assert without[503] > 10
    assert afterwards[200] > 10
    refusals = [answer for client in [*clients, *pollers] for answer in client.refusals if answer.status != 410]
    assert {answer.status for answer in refusals} == {503}, server.log.read_text()[-5000:]
    assert unpromised([*clients, *pollers]) == []

    whole, pages, scope = (client.rows for client in clients)
    table = rows_of(postgres)
    assert whole == pages == table
    assert scope == {key: row for key, row in table.items() if row["tenant"] == 1}
    assert len(table) > 20


def rows_of(postgres: Postgres) -> dict[str, dict[str, Any]]:
    """Return what a client should have, as the table has it."""
    columns = ("id", "name", "status", "count", "tenant", "parts")
    with postgres.connect() as database:
        found = database.execute(
            "SELECT i.id, i.name, i.status, i.count, i.tenant_id,"
            " coalesce(array_agg(p.name ORDER BY p.id) FILTER (WHERE p.id IS NOT NULL), '{}')"
            " FROM shop_item i LEFT JOIN shop_part p ON p.item_id = i.id GROUP BY i.id"
        )
        return {str(row[0]): dict(zip(columns, row, strict=True)) for row in found}
