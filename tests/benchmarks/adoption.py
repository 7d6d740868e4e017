"""`python -m tests.benchmarks.adoption ROWS [SECONDS]`: print who waits while a table gets its triggers."""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass

from tests.benchmarks.databases import own_database
from tests.benchmarks.measurements import progress

WRITERS, READERS = 3, 2
HOLD_SECONDS = 4.0
PAUSE_SECONDS = 0.005
DROP = "dropping the feed's triggers"


@dataclass(frozen=True)
class Adoption:
    """How long something took (seconds), and the longest that a writer and a reader of the table waited meanwhile."""

    database: str
    rows: int
    what: str
    seconds: float
    write: float
    read: float


def main(rows: int, hold: float = HOLD_SECONDS) -> None:
    """
    Make a database with a table of so many rows, and give it its triggers while others write and read.

    `hold` is how long a transaction then holds the table (seconds).
    """
    with own_database():
        from django.db import connection

        from tests.benchmarks.models import Project
        from tests.benchmarks.rows import PROJECT, insert_entries

        name = connection.display_name
        progress(f"{name}, adoption of {rows} rows")
        Project.objects.create(pk=PROJECT, name="many")
        insert_entries(last=rows)
        act_on = actions(hold)
        act_on[DROP]()
        traffic = Traffic(rows)
        for what, act in act_on.items():
            beside = long_transaction(hold) if "held" in what else nullcontext()
            print(json.dumps(asdict(Adoption(name, rows, what, *traffic.during(act, beside)))), flush=True)


def actions(hold: float) -> dict[str, Callable[[], object]]:
    """Return what is done, in this order, by its name."""
    from django_pollable.ledger import triggers
    from tests.benchmarks.models import Entry

    return {
        "nothing": lambda: time.sleep(hold),
        "`pollable install`": lambda: triggers.install("default"),
        DROP: lambda: triggers.drop("default", [Entry._meta.db_table]),
        f"`pollable install`, the table held for {hold:g} s": lambda: triggers.install("default"),
    }


class Traffic:
    """Writers and readers of single rows, each with a connection, who note how long they wait."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._longest: dict[str, float] = {}
        self._is_over = threading.Event()

    def during(self, act: Callable[[], object], beside: AbstractContextManager[None]) -> tuple[float, float, float]:
        """Return how long `act` took inside of `beside`, the longest write and the longest read (seconds)."""
        self._longest = {"write": 0.0, "read": 0.0}
        self._is_over.clear()
        kinds = ["write"] * WRITERS + ["read"] * READERS
        threads = [threading.Thread(target=self._repeat, args=[kind]) for kind in kinds]
        for thread in threads:
            thread.start()
        time.sleep(0.5)  # each has its connection
        with beside:
            begin = time.monotonic()
            act()
            seconds = time.monotonic() - begin
            self._is_over.set()
        for thread in threads:
            thread.join()
        return seconds, self._longest["write"], self._longest["read"]

    def _repeat(self, kind: str) -> None:
        from django.db import connection
        from django.db.models import F

        from tests.benchmarks.models import Entry

        connection.ensure_connection()
        while not self._is_over.is_set():
            row = Entry.objects.filter(pk=random.randint(1, self._rows))
            begin = time.monotonic()
            row.update(count=F("count") + 1) if kind == "write" else row.get()
            self._longest[kind] = max(self._longest[kind], time.monotonic() - begin)
            time.sleep(PAUSE_SECONDS)
        connection.close()


@contextmanager
def long_transaction(seconds: float) -> Iterator[None]:
    """Hold the table by a transaction that has written a row and commits `seconds` later."""
    has_written = threading.Event()

    def hold() -> None:
        from django.db import connection, transaction

        from tests.benchmarks.models import Entry

        with transaction.atomic():
            Entry.objects.create(project_id=1)
            has_written.set()
            time.sleep(seconds)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    has_written.wait()
    yield
    holder.join()


if __name__ == "__main__":
    main(int(sys.argv[1]), *map(float, sys.argv[2:]))
