"""`python -m tests.kills file|transaction|control KILLS`: kill a client again and again, and count its losses."""

from __future__ import annotations

import json
import logging
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from django_pollable.client.answers import Page
from django_pollable.client.checkpoints import FileStore, SqliteStore
from django_pollable.client.fetching import Limits
from django_pollable.client.poller import Poller
from django_pollable.client.waits import Pace
from tests.faulty import FaultyServer, LogFeed

RATE, LIMIT, SHARE = 200.0, 20, 0.25
PACE = Pace(interval=0.02, backoff_cap=0.08)
LIMITS = Limits(connect=0.5, read=0.15, total=0.3)
SHORTEST, LONGEST = 0.03, 0.35
ROW_SECONDS = 0.002
"""What handling a row takes, so that many kills come in the middle of a page."""


def follow_with_file(url: str, folder: Path, run: int) -> None:
    """Handle, then store."""
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def handle(page: Page) -> None:
        for item in page.items:
            _handle(log, run, item["id"])

    _poller(url, FileStore(folder / "checkpoint")).run(handle)


def follow_in_transaction(url: str, folder: Path, run: int) -> None:
    """Handle and store in one transaction."""
    database = sqlite3.connect(folder / "rows.sqlite3")
    database.execute("CREATE TABLE IF NOT EXISTS log (run INTEGER, id INTEGER)")
    poller = _poller(url, SqliteStore(database))

    def handle(page: Page) -> None:
        with database:
            for item in page.items:
                database.execute("INSERT INTO log VALUES (?, ?)", (run, item["id"]))
                time.sleep(ROW_SECONDS)
            poller.ack()

    poller.run(handle)


def follow_badly(url: str, folder: Path, run: int) -> None:
    """Store, then handle: what a client must not do."""
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    poller = _poller(url, FileStore(folder / "checkpoint"))
    for page in poller:
        poller.ack()
        for item in page.items:
            _handle(log, run, item["id"])


def read_log(folder: Path) -> list[tuple[int, int]]:
    """Return the run and the id of each row that was handled."""
    if (folder / "rows.sqlite3").exists():
        return sqlite3.connect(folder / "rows.sqlite3").execute("SELECT run, id FROM log").fetchall()
    lines = (folder / "log").read_text().splitlines()
    return [(int(run), int(number)) for run, number in (line.split() for line in lines)]


MODES: dict[str, Callable[[str, Path, int], None]] = {
    "file": follow_with_file,
    "transaction": follow_in_transaction,
    "control": follow_badly,
}


def main(mode: str, kills: int) -> dict[str, object]:
    """Return what was lost and what came more than once, in all and after one kill at the most (rows)."""
    url, server = _serve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        begin = time.monotonic()
        for run in range(kills):
            client = _fork(lambda run=run: MODES[mode](url, folder, run))  # type: ignore[misc]
            time.sleep(random.uniform(SHORTEST, LONGEST))
            os.kill(client, signal.SIGKILL)
            os.waitpid(client, 0)
        with urllib.request.urlopen(f"{url}/finish") as finished:
            head = json.load(finished)["head"]
        client = _fork(lambda: MODES[mode](url, folder, kills))
        deadline = time.monotonic() + 60
        while _last(folder) < head and time.monotonic() < deadline:
            time.sleep(0.2)
        os.kill(client, signal.SIGKILL)
        os.waitpid(client, 0)
        rows = read_log(folder)
    os.kill(server, signal.SIGKILL)
    os.waitpid(server, 0)
    times = Counter(number for _, number in rows)
    return {
        "mode": mode,
        "kills": kills,
        "head": head,
        "lost": head - len(times),
        "duplicated": len(rows) - len(times),
        "most_after_one_kill": max(_repeated(rows).values(), default=0),
        "seconds": round(time.monotonic() - begin, 1),
    }


def _handle(log: int, run: int, number: int) -> None:
    os.write(log, f"{run} {number}\n".encode())
    time.sleep(ROW_SECONDS)


def _repeated(rows: list[tuple[int, int]]) -> Counter[int]:
    """Return how many rows each run got that had been handled before."""
    seen: set[int] = set()
    repeated: Counter[int] = Counter()
    for run, number in rows:
        repeated[run] += number in seen
        seen.add(number)
    return repeated


def _last(folder: Path) -> int:
    return max((number for _, number in read_log(folder)), default=0)


def _poller(url: str, store: FileStore | SqliteStore) -> Poller:
    return Poller(url, store=store, pace=PACE, limits=LIMITS)


def _serve() -> tuple[str, int]:
    """Return the URL and the process of a faulty server."""
    server = FaultyServer(LogFeed(rate=RATE, limit=LIMIT, share=SHARE))
    process = _fork(lambda: server.serve_forever())
    server.server_close()
    return server.url, process


def _fork(act: Callable[[], None]) -> int:
    """Run `act` in a process of its own: a fork, which is there at once."""
    process = os.fork()
    if process == 0:
        _act_and_leave(act)
    return process


def _act_and_leave(act: Callable[[], None]) -> NoReturn:
    try:
        act()
    finally:
        os._exit(1)


if __name__ == "__main__":
    logging.disable()
    import django_pollable.client.transport  # noqa: F401 -- before the forks

    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
