"""`python -m tests.benchmarks.notices`: which writes a client learns of, by what servers compare."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from tests.benchmarks.databases import own_database
from tests.benchmarks.tables import Table

if TYPE_CHECKING:
    from tests.benchmarks.models import Entry
    from tests.benchmarks.requests import Ask, Prepare

ROWS = 60
"""All on the one page that is polled."""

SAME_SECOND = "a second save in the same second"


class Clock:
    """The time that `save()` writes into rows: it goes on between two writes only."""

    def __init__(self) -> None:
        self._now = datetime(2026, 2, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self._now

    def go_on(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


def writes() -> dict[str, Callable[[], Any]]:
    """Return each kind of write, by its name."""
    from tests.benchmarks.models import Comment, Entry
    from tests.benchmarks.rows import PROJECT

    return {
        "`save()`": _changed(1).save,
        "`save()` of a row far down the page": _changed(40).save,
        SAME_SECOND: _changed(2).save,
        "`save(update_fields=…)`": lambda: _changed(3).save(update_fields=["title"]),
        "`QuerySet.update()`": lambda: Entry.objects.filter(pk=4).update(title="updated"),
        "`bulk_update()`": lambda: Entry.objects.bulk_update([_changed(5)], ["title"]),
        "`bulk_create()`": lambda: Entry.objects.bulk_create([Entry(project_id=PROJECT)]),
        "raw SQL": _write_by_sql,
        "`delete()`": _changed(7).delete,
        "a delete and an insert of an older row": _replace,
        "a row that the representation shows": lambda: Comment.objects.create(entry_id=9, text="new"),
    }


def _changed(pk: int) -> Entry:
    from tests.benchmarks.models import Entry

    entry = Entry.objects.get(pk=pk)
    entry.title = "changed"
    return entry


def _write_by_sql() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("UPDATE benchmarks_entry SET title = 'changed' WHERE id = 6")


def _replace() -> None:
    from tests.benchmarks.models import Entry

    entry = Entry.objects.get(pk=8)
    entry.delete()
    Entry.objects.bulk_create([Entry(project_id=entry.project_id)])
    Entry.objects.filter(pk=Entry.objects.latest("pk").pk).update(updated_at=entry.updated_at)


def polls() -> dict[str, tuple[Ask, Prepare]]:
    """Return what is compared, by its name, and how it is polled."""
    from tests.benchmarks import requests
    from tests.benchmarks.peers import HAS_EXTENSIONS
    from tests.benchmarks.requests import TOKENS, Ask
    from tests.benchmarks.rows import PROJECT

    found = {
        "this package": (Ask(f"/commented/quick/{PROJECT}/", TOKENS), requests.unchanged_delta),
        "newest `updated_at`": (Ask("/commented/dated/"), requests.unchanged),
        "newest and count": (Ask("/commented/counted/"), requests.unchanged),
        "delta by `updated_at`": (Ask("/commented/keyset/"), requests.empty_keyset),
        "hash of the page": (Ask("/commented/hashed/"), requests.unchanged),
    }
    if HAS_EXTENSIONS:
        found["drf-extensions `ETAGMixin`"] = Ask("/commented/extensions/sql/"), requests.unchanged
        found["drf-extensions `APIETAGMixin`"] = Ask("/commented/extensions/rows/"), requests.unchanged
    return found


def noticed() -> Iterator[tuple[str, dict[str, bool]]]:
    """Give each kind of write, and who tells of it."""
    from tests.benchmarks import rows
    from tests.benchmarks.requests import handler

    rows.fill(ROWS)
    handle, clock = handler(), Clock()
    with patch("django.utils.timezone.now", clock.now):
        for name, write in writes().items():
            _changed(2).save()
            asks = {poll: prepare(first, handle) for poll, (first, prepare) in polls().items()}
            clock.go_on(0.5 if name == SAME_SECOND else 60)
            write()
            clock.go_on(60)
            yield name, {poll: _tells(handle(ask)) for poll, ask in asks.items()}


def _tells(response: Any) -> bool:
    """Return whether an answer is neither a 304 nor an empty delta."""
    if response.status_code == 304:
        return False
    body = json.loads(response.content)
    return bool("items" not in body or body["items"] or body.get("removed"))


def table() -> Table:
    """Return the kinds of write, and who notices them."""
    found = Table("notices", "Which writes a client learns of with its next poll", ["", *polls()])
    for name, noticers in noticed():
        found.rows.append([name, *("yes" if is_noticed else "no" for is_noticed in noticers.values())])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.notices")
    parser.add_argument("--markdown", action="store_true", help="print the table for a document")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("DATABASE_URL", f"sqlite:///{folder}/notices.sqlite3")
        with own_database():
            found = table()
    print(found.markdown() if options.markdown else found.text())


if __name__ == "__main__":
    main()
