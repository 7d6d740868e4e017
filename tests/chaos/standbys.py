"""What goes on where polls read standbys: those lag, and a process that is killed now and then numbers changes."""

from __future__ import annotations

import random
import subprocess
import sys
import threading

from django_pollable.ledger.options import feed_of
from django_pollable.ledger.tables import Feed
from tests.shop.models import Item

LAG_SECONDS, LIFE_SECONDS = 1.0, 3.0


class Trouble(threading.Thread):
    """Makes trouble now and then, until it is told to leave off."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.has_begun, self._is_over = threading.Event(), threading.Event()
        self.start()

    def leave_off(self) -> None:
        """Make no more of it."""
        self._is_over.set()
        self.join()

    def end(self) -> None:
        """End what is left of it."""


class Lag(Trouble):
    """Holds back the standby at `url`: it stays at what it shows for up to `LAG_SECONDS`."""

    def __init__(self, url: str) -> None:
        self._url = url
        super().__init__()

    def run(self) -> None:
        import psycopg

        with psycopg.connect(self._url, autocommit=True) as standby:
            self.has_begun.set()
            while not self._is_over.wait(random.random()):
                standby.execute("SELECT pg_wal_replay_pause()")
                self._is_over.wait(LAG_SECONDS * random.random())
                standby.execute("SELECT pg_wal_replay_resume()")


class Settling(Trouble):
    """Keeps `manage.py pollable settle --forever` running, and kills it some time after it has given a number."""

    def run(self) -> None:
        while True:
            self._process = subprocess.Popen([sys.executable, "-m", "django", "pollable", "settle", "--forever"])
            before = head()
            while head() == before and not self._is_over.wait(0.1):
                pass
            self.has_begun.set()
            if self._is_over.wait(LIFE_SECONDS * (1 + random.random())):
                return
            self.end()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def head() -> int:
    return Feed.objects.values_list("sequence", flat=True).get(pk=feed_of(Item).id)
