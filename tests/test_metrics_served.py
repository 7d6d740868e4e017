"""Metrics through a scrape of the example project, served by several processes to a crowd while it changes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from django_pollable.client.poller import Poller
from tests.services import free_port, wait_for

pytest.importorskip("gunicorn")

WORKERS, CLIENTS, POLLS, HASTE = 3, 24, 500, 20
"""The clients wait a twentieth of what they are told to."""
PATIENCE_SECONDS = 120
LOGGED = re.compile(r'^"(?:GET|HEAD) /api/\S* HTTP/1.1" (\d{3})$', re.MULTILINE)


class Board:
    """The example project behind gunicorn, and its simulator."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self.counters = folder, free_port(), folder / "counters"
        self.counters.mkdir()
        self._environment = os.environ | {
            "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
            "DJANGO_SETTINGS_MODULE": "example_project.settings",
            "MEDIA_ROOT": str(folder / "media"),
            "PROMETHEUS_MULTIPROC_DIR": str(self.counters),
        }
        for command in ("migrate", "seed"):
            subprocess.run([*self._python, "django", command], env=self._environment, check=True, capture_output=True)
        options = [f"--bind=127.0.0.1:{self.port}", f"--workers={WORKERS}", "--threads=4", "--log-level=critical"]
        log = ["--access-logfile", str(folder / "access.log"), "--access-logformat", '"%(r)s" %(s)s']
        self._processes = [
            subprocess.Popen([*self._python, *command], env=self._environment, stderr=subprocess.DEVNULL)
            for command in (["gunicorn", *options, *log, "example_project.wsgi"], ["django", "simulate"])
        ]
        wait_for(self.port)
        urlopen(self.url("metrics")).close()  # a worker is there

    _python = (sys.executable, "-m")

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    @property
    def logged(self) -> Counter[str]:
        """The polls in the access log, by status."""
        return Counter(LOGGED.findall((self.folder / "access.log").read_text()))

    @property
    def scraped(self) -> Counter[str]:
        """The polls in a scrape, by status."""
        found: Counter[str] = Counter()
        with urlopen(self.url("metrics")) as answer:
            for family in text_string_to_metric_families(answer.read().decode()):
                for sample in family.samples:
                    if sample.name == "pollable_polls_total" and sample.value:
                        found[sample.labels["status"]] += int(sample.value)
        return found

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
            process.wait()


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    board = Board(tmp_path)
    yield board
    board.stop()


def crowd(board: Board) -> list[Poller]:
    """Return clients of a public feed, and members of a project, who keep to the protocol."""
    token = {"projects/1/builds/": "alice-demo-token", "status/": None}
    paths = [*token] * (CLIENTS // 2)
    return [
        Poller(board.url(f"api/{path}"), token=token[path], sleep=lambda seconds: time.sleep(seconds / HASTE))
        for path in paths
    ]


def ratio(polls: Counter[str]) -> float:
    """Return the part of 304 in what was answered with 200 or 304."""
    return polls["304"] / (polls["200"] + polls["304"])


def test_the_304_ratio_of_a_scrape_is_that_of_the_access_log(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    pollers = crowd(board)
    threads = [threading.Thread(target=poller.run, args=[lambda _: None], daemon=True) for poller in pollers]
    for thread in threads:
        thread.start()
    over_at = time.monotonic() + PATIENCE_SECONDS
    while board.logged.total() < POLLS and time.monotonic() < over_at:
        time.sleep(0.5)
    for poller in pollers:
        poller.stop()
    for poller, thread in zip(pollers, threads, strict=True):
        thread.join()
        poller.close()
    scraped, logged = board.scraped, board.logged

    with capsys.disabled():
        print(f"\n304 ratio: {ratio(scraped):.4f} scraped, {ratio(logged):.4f} logged; polls: {scraped} {logged}")
    assert logged.total() >= POLLS
    assert {"200", "304"} <= logged.keys()
    assert ratio(scraped) == pytest.approx(ratio(logged), abs=0.01)
    assert scraped.total() == pytest.approx(logged.total(), rel=0.01)
    assert len([*board.counters.glob("counter_*.db")]) >= 2, "one process has answered all"
