"""`python -m tests.benchmarks.commit_order [SECONDS]`: how many rows a client never gets, by its kind of cursor."""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import threading
import time

from tests.benchmarks.databases import own_database
from tests.benchmarks.tables import Table, number

WRITERS = 8
POLL_SECONDS = 0.05
LONGEST_SECONDS = (0.002, 0.02, 0.2)
"""How long a transaction takes at the most: it inserts at its beginning, as one that has more to do."""


class Reader:
    """A client that polls, and keeps the cursor and the keys that it has seen."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def poll(self) -> None:
        raise NotImplementedError

    def follow(self, is_over: threading.Event) -> None:
        """Poll until it is over, and once more."""
        from django.db import connection

        while not is_over.wait(POLL_SECONDS):
            self.poll()
        self.poll()
        connection.close()


class ById(Reader):
    """Asks for what has a higher id than the highest it has seen."""

    def poll(self) -> None:
        from tests.benchmarks.models import Entry

        self.seen |= set(Entry.objects.filter(pk__gt=max(self.seen, default=0)).values_list("pk", flat=True))


class ByDate(Reader):
    """Asks for what was updated at or after the newest `updated_at` that it has seen."""

    newest = "2000-01-01T00:00Z"

    def poll(self) -> None:
        from tests.benchmarks.models import Entry

        for pk, updated_at in Entry.objects.filter(updated_at__gte=self.newest).values_list("pk", "updated_at"):
            self.seen.add(pk)
            self.newest = max(str(self.newest), updated_at.isoformat())


class ByCursor(Reader):
    """Polls the feed."""

    def __init__(self) -> None:
        from tests.benchmarks.requests import TOKENS, Ask, handler
        from tests.benchmarks.rows import PROJECT

        super().__init__()
        self._handle = handler()
        self._first = Ask(f"/quick/{PROJECT}/", TOKENS)
        self._query = {"limit": "1000"}

    def poll(self) -> None:
        has_more = True
        while has_more:
            page = json.loads(self._handle(self._first.of(**self._query)).content)
            self.seen |= {item["id"] for item in page["items"]}
            self._query["since"], has_more = page["next_since"], page["has_more"]


def run(seconds: float, longest: float) -> list[str]:
    """Let writers insert and readers poll, and return how many rows there are and what share each reader never got."""
    from tests.benchmarks.models import Entry

    readers = [ById(), ByDate(), ByCursor()]
    for reader in readers:
        reader.poll()
    before = set(Entry.objects.values_list("pk", flat=True))
    are_writers_over, is_over = threading.Event(), threading.Event()
    writers = [threading.Thread(target=_insert, args=[are_writers_over, longest]) for _ in range(WRITERS)]
    threads = [threading.Thread(target=reader.follow, args=[is_over]) for reader in readers]
    for thread in writers + threads:
        thread.start()
    time.sleep(seconds)
    are_writers_over.set()
    for writer in writers:
        writer.join()
    time.sleep(1)  # a poll finds the last notes
    is_over.set()
    for thread in threads:
        thread.join()
    written = set(Entry.objects.values_list("pk", flat=True)) - before
    shares = [len(written - reader.seen) / len(written) for reader in readers]
    return [number(len(written), 0), *(f"{number(100 * share)} %" for share in shares)]


def _insert(is_over: threading.Event, longest: float) -> None:
    from django.db import connection, transaction

    from tests.benchmarks.models import Entry
    from tests.benchmarks.rows import PROJECT

    while not is_over.is_set():
        with transaction.atomic():
            Entry.objects.create(project_id=PROJECT)
            time.sleep(random.uniform(0, longest))
        time.sleep(random.uniform(0, 0.01))
    connection.close()


def table(seconds: float) -> Table:
    """Return how many rows are lost, by the length of transactions."""
    from django.db import connection

    from tests.benchmarks import rows

    found = Table(
        "commit-order",
        f"Rows that a client never gets: {WRITERS} writers, a poll each {POLL_SECONDS * 1000:g} ms",
        ["transactions of up to", "rows", "highest id", "newest `updated_at`", "this package"],
    )
    rows.fill(1)
    for longest in LONGEST_SECONDS:
        found.rows.append([f"{connection.display_name}: {longest * 1000:g} ms", *run(seconds, longest)])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.commit_order")
    parser.add_argument("seconds", nargs="?", type=float, default=10)
    parser.add_argument("--markdown", action="store_true", help="print the table for a document")
    options = parser.parse_args()
    if not os.environ.get("DATABASE_URL", "sqlite").startswith(("postgres", "mysql")):
        sys.exit("SQLite has one writer at a time: name another in DATABASE_URL.")
    with own_database():
        found = table(options.seconds)
    print(found.markdown() if options.markdown else found.text())


if __name__ == "__main__":
    main()
