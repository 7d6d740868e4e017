"""`python -m tests.benchmarks`: one table of ratios, on the database of `DATABASE_URL`."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from multiprocessing.pool import ThreadPool

import django

ROUNDS, ROWS, CHANGES = 7, 10_000, 100_000


def best(action: Callable[[], object], *, repeat: int = 1, prepare: Callable[[], object] | None = None) -> float:
    """Return the best time of several rounds (seconds)."""
    times = []
    for _ in range(ROUNDS):
        if prepare:
            prepare()
        begin = time.perf_counter()
        for _ in range(repeat):
            action()
        times.append((time.perf_counter() - begin) / repeat)
    return min(times)


def row(name: str, measured: float, against: float, target: str) -> None:
    """Print one line of the table."""
    print(f"{name:58} {measured * 1e6:12.0f} {against * 1e6:12.0f} {measured / against:8.2f}  {target}", flush=True)


def main() -> None:
    """Make a database of its own, measure, and drop it."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    from django.db import connection
    from django.test.utils import setup_databases, setup_test_environment, teardown_databases

    setup_test_environment()
    databases = setup_databases(verbosity=0, interactive=False, aliases={"default"})
    print(f"{connection.display_name}: microseconds, best of {ROUNDS}\n")
    print(f"{'':58} {'this':>12} {'against':>12} {'ratio':>8}  target")
    try:
        measure_writes()
        measure_polls()
        measure_instructions()
        measure_settling()
        measure_writers()
    finally:
        teardown_databases(databases, verbosity=0)


def measure_writes() -> None:
    """Compare writes with and without the triggers."""
    from django.db import connection

    from django_pollable.ledger import triggers
    from tests.shop.models import Item, Tenant

    def clear() -> None:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM shop_item")
            cursor.execute("DELETE FROM pollable_pendingchange")

    def fill() -> None:
        clear()
        Item.objects.bulk_create(Item(tenant=tenant, name=str(number)) for number in range(ROWS))

    def save() -> None:
        Item.objects.create(tenant=tenant, name="one")

    def update_one() -> None:
        item.count += 1
        item.save()

    def update() -> None:
        counter.append(1)
        Item.objects.update(count=len(counter))

    def delete() -> None:
        Item.objects.all()._raw_delete("default")

    tenant = Tenant.objects.create(name="t")
    counter: list[int] = []
    results: dict[str, list[float]] = {}
    for tracked in (False, True):
        triggers.install("default") if tracked else triggers.drop("default")
        clear()
        item = Item.objects.create(tenant=tenant)
        results.setdefault("save, insert", []).append(best(save, repeat=200))
        results.setdefault("save, update", []).append(best(update_one, repeat=200))
        results.setdefault(f"bulk_create, {ROWS} rows", []).append(best(fill, prepare=clear))
        results.setdefault(f"update, {ROWS} rows", []).append(best(update, prepare=fill))
        results.setdefault(f"delete, {ROWS} rows", []).append(best(delete, prepare=fill))
    targets = ("<= 1.3", "<= 1.3", "<= 1.35", "<= 2", "<= 3.2")
    for (name, (plain, tracked_time)), target in zip(results.items(), targets, strict=True):
        row(f"{name}: tracked / untracked", tracked_time, plain, target)
    clear()
    Item.objects.create(tenant=tenant)
    _settle_all()


def measure_polls() -> None:
    """Compare a 304 with an empty view, with rendering the page, and with larger tables."""
    from tests.benchmarks import polls

    times: dict[int, float] = {}
    for size in polls.SIZES:
        polls.fill(size)
        _settle_all()
        requests = polls.requests()
        times[size] = best(requests["unchanged"], repeat=200)
    nothing, rendered = best(requests["empty"], repeat=200), best(requests["page"], repeat=5)
    smallest, *larger = polls.SIZES
    row("304 with a token / empty DRF view with a token", times[smallest], nothing, "<= 1.25")
    for size in larger:
        row(f"304 on a feed of {size} rows / of {smallest}", times[size], times[smallest], "<= 1.05")
    row("page of 100 rows of ten fields / 304", rendered, times[smallest], ">= 25")


def measure_instructions() -> None:
    """Compare the Python instructions of a 304 and an empty view, under callgrind."""
    from tests.benchmarks import instructions

    if not instructions.is_available():
        print("no valgrind here: instructions are not counted")
        return
    print("millions of instructions of this process a request, on SQLite")
    kinds = ("unchanged", "empty", "page", "open unchanged", "open page", "nobody", "cheap", "remembered cheap", "row")
    counts = dict(zip(kinds, ThreadPool(2).map(instructions.count, kinds), strict=True))
    for name, this, against, target in (
        ("304 / empty DRF view, both with a token", "unchanged", "empty", "<= 1.25"),
        ("page of 100 rows of ten fields / 304, with a token", "page", "unchanged", ">= 25"),
        ("page of 100 rows of ten fields / 304, public", "open page", "open unchanged", ">= 25"),
        ("empty DRF view with a token / without", "empty", "nobody", "(2.9)"),
        ("the same, PollableTokenAuthentication", "cheap", "nobody", "<= 1.4"),
        ("the same, the token remembered", "remembered cheap", "nobody", "<= 1.2"),
        ("a row by the ORM in a bare view / empty DRF view", "row", "nobody", "(1.5)"),
    ):
        ratio = counts[this] / counts[against]
        print(f"{name:58} {counts[this] / 1e6:12.2f} {counts[against] / 1e6:12.2f} {ratio:8.2f}  {target}", flush=True)


def measure_writers() -> None:
    """Compare the throughput of many writers, who each have a connection, with and without the triggers."""
    from django.db import connection

    from tests.benchmarks import writers

    if connection.vendor == "sqlite":
        return
    for scopes in (1, 2):
        runs = [[writers.throughput(scopes, is_tracked=is_tracked) for is_tracked in (False, True)] for _ in range(3)]
        runs.sort(key=lambda run: run[1][0] / run[0][0])
        (plain, _), (tracked, _) = runs[1]
        name = f"{writers.WRITERS} writers, {scopes} scope(s) a transaction: commits/s"
        print(f"{name:58} {tracked:12.0f} {plain:12.0f} {tracked / plain:8.2f}  >= 0.7")
        deadlocks = [sum(run[is_tracked][1] for run in runs) for is_tracked in (True, False)]
        print(f"{'':58} deadlocks: {deadlocks[0]}, without tracking {deadlocks[1]}", flush=True)


def measure_settling() -> None:
    """Print how many changes a second get their numbers."""
    from django.db import connection

    from django_pollable.ledger.options import feed_of
    from django_pollable.ledger.sequencer import settle_all
    from tests.shop.models import Item

    if connection.vendor == "sqlite":
        return
    rates = []
    for turn in range(5):
        Item.objects.filter(pk__lte=Item.objects.earliest("pk").pk + CHANGES).update(count=turn + 1)
        begin = time.perf_counter()
        rates.append(settle_all(feed_of(Item), using="default") / (time.perf_counter() - begin))
    print(f"{'settling, changes a second':58} {statistics.median(rates):12.0f} {'':12} {'':8}  >= 20000")


def _settle_all() -> None:
    from django_pollable.ledger.options import feed_of
    from django_pollable.ledger.sequencer import settle_all
    from tests.shop.models import Item

    settle_all(feed_of(Item), using="default")


if __name__ == "__main__":
    main()
