"""`python -m tests.benchmarks.writes`: measure what the triggers cost writers, and print it for whoever collects."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from tests.benchmarks.databases import own_database
from tests.benchmarks.measurements import progress

ROUNDS, ROWS, CHANGES = 7, 10_000, 100_000


@dataclass(frozen=True)
class Comparison:
    """A measured number, what it is compared with, and what the ratio (or the number alone) has to be."""

    database: str
    name: str
    this: float
    against: float | None
    limit: float | None
    is_least: bool = False
    note: str = ""

    @property
    def value(self) -> float:
        return self.this if self.against is None else self.this / self.against

    @property
    def is_met(self) -> bool | None:
        if self.limit is None:
            return None
        return self.value >= self.limit if self.is_least else self.value <= self.limit


def main() -> None:
    """Make a database, and compare."""
    with own_database():
        from django.db import connection

        name = connection.display_name
        progress(f"{name}, writes")
        for part in (single_writes, settling, many_writers):
            for comparison in part(name):
                print(json.dumps(asdict(comparison)), flush=True)


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


def single_writes(database: str) -> Iterator[Comparison]:
    """
    Compare writes with and without the triggers (microseconds).

    Those of many rows have a target where a trigger runs once a statement, and not once a row.
    """
    from django.db import connection

    from django_pollable.ledger import triggers

    triggers.drop("default")
    plain = _time_writes()
    triggers.install("default")
    tracked = _time_writes()
    limits = (1.3, 1.3, 1.35, 2, 3.2) if connection.vendor == "postgresql" else (1.3, 1.3, None, None, None)
    for (name, untracked), limit in zip(plain.items(), limits, strict=True):
        yield Comparison(database, f"{name}: tracked / untracked, µs", tracked[name] * 1e6, untracked * 1e6, limit)


def _time_writes() -> dict[str, float]:
    from tests.shop.models import Item, Tenant

    tenant, _ = Tenant.objects.get_or_create(name="t")
    counter: list[int] = []

    def fill() -> None:
        _clear()
        Item.objects.bulk_create(Item(tenant=tenant, name=str(number)) for number in range(ROWS))

    def update_one() -> None:
        item.count += 1
        item.save()

    def update() -> None:
        counter.append(1)
        Item.objects.update(count=len(counter))

    _clear()
    item = Item.objects.create(tenant=tenant)
    return {
        "save, insert": best(lambda: Item.objects.create(tenant=tenant, name="one"), repeat=200),
        "save, update": best(update_one, repeat=200),
        f"bulk_create, {ROWS} rows": best(fill, prepare=_clear),
        f"update, {ROWS} rows": best(update, prepare=fill),
        f"delete, {ROWS} rows": best(lambda: Item.objects.all()._raw_delete("default"), prepare=fill),
    }


def _clear() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM shop_item")
        cursor.execute("DELETE FROM pollable_pendingchange")


def settling(database: str) -> Iterator[Comparison]:
    """Count how many changes a second get their numbers; on SQLite the triggers give them."""
    from django.db import connection

    from django_pollable.ledger.options import feed_of
    from django_pollable.ledger.sequencer import settle_all
    from tests.shop.models import Item, Tenant

    if connection.vendor == "sqlite":
        return
    _clear()
    tenant = Tenant.objects.create(name="many")
    Item.objects.bulk_create((Item(tenant=tenant) for _ in range(CHANGES)), batch_size=5_000)
    settle_all(feed_of(Item), using="default")
    rates = []
    for turn in range(5):
        Item.objects.update(count=turn + 1)
        begin = time.perf_counter()
        rates.append(settle_all(feed_of(Item), using="default") / (time.perf_counter() - begin))
    yield Comparison(database, "settling, changes/s", statistics.median(rates), None, 20_000, is_least=True)


def many_writers(database: str) -> Iterator[Comparison]:
    """Compare the throughput of many writers, who each have a connection, with and without the triggers."""
    from django.db import connection

    from tests.benchmarks import writers

    if connection.vendor == "sqlite":
        return
    for scopes in (1, 2):
        runs = [[writers.throughput(scopes, is_tracked=is_tracked) for is_tracked in (False, True)] for _ in range(3)]
        runs.sort(key=lambda run: run[1][0] / run[0][0])
        (plain, _), (tracked, _) = runs[1]
        deadlocks = [sum(run[is_tracked][1] for run in runs) for is_tracked in (True, False)]
        yield Comparison(
            database,
            f"{writers.WRITERS} writers, {scopes} scope(s) a transaction: tracked / untracked, commits/s",
            tracked,
            plain,
            0.7,
            is_least=True,
            note=f"deadlocks: {deadlocks[0]}, untracked {deadlocks[1]}",
        )


if __name__ == "__main__":
    main()
