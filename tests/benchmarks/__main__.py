"""`python -m tests.benchmarks`: one table of ratios, on the database of `DATABASE_URL`."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

import django

ROUNDS, ROWS = 7, 10_000


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
        measure_settling()
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
    from django.contrib.auth.models import User
    from django.test import RequestFactory
    from rest_framework.authentication import TokenAuthentication
    from rest_framework.authtoken.models import Token
    from rest_framework.permissions import IsAuthenticated
    from rest_framework.response import Response
    from rest_framework.views import APIView

    from django_pollable.caching import CachePolicy
    from tests.shop.models import Item, Tenant
    from tests.shop.views import OpenItems

    class Empty(APIView):
        authentication_classes = (TokenAuthentication,)
        permission_classes = (IsAuthenticated,)

        def get(self, request: object, **kwargs: object) -> Response:
            return Response({})

    class Private(OpenItems):
        authentication_classes = (TokenAuthentication,)
        permission_classes = (IsAuthenticated,)
        cache_policy = CachePolicy.private()
        varies_by_user = True

    Token.objects.create(user=User.objects.create_user("user"), key="token")
    requests = RequestFactory(headers={"Authorization": "Token token"})
    poll, empty = Private.as_view(), Empty.as_view()
    tenant = Tenant.objects.create(name="t")
    times: dict[int, float] = {}
    for size in (1_000, 100_000):
        Item.objects.bulk_create(
            (Item(tenant=tenant, name=str(n)) for n in range(size - Item.objects.count())), batch_size=5_000
        )
        _settle_all()
        first = poll(requests.get("/", {"since": "now"}), tenants=str(tenant.pk))
        query = {"since": first.data["next_since"]}
        etag = {"HTTP_IF_NONE_MATCH": first["ETag"]}

        def unchanged() -> None:
            answer = poll(requests.get("/", query, **etag), tenants=str(tenant.pk))  # noqa: B023
            assert answer.status_code == 304

        times[size] = best(unchanged, repeat=200)
    nothing = best(lambda: empty(requests.get("/")).render(), repeat=200)
    page = best(lambda: poll(requests.get("/"), tenants=str(tenant.pk)).render(), repeat=5)
    row("304 with a token, 10^3 rows / empty DRF view with a token", times[1_000], nothing, "<= 1.25")
    row("304 on a feed of 10^5 rows / of 10^3", times[100_000], times[1_000], "<= 1.05")
    row("page of 100 / 304", page, times[1_000], ">= 25")


def measure_settling() -> None:
    """Print how many changes a second get their numbers."""
    from django.db import connection

    from django_pollable.ledger.options import feed_of
    from django_pollable.ledger.sequencer import settle
    from tests.shop.models import Item

    if connection.vendor == "sqlite":
        return
    rates = []
    for turn in range(3):
        Item.objects.update(count=turn + 1)
        begin, count = time.perf_counter(), 0
        while settled := settle(feed_of(Item), using="default"):
            count += settled
        rates.append(count / (time.perf_counter() - begin))
    print(f"{'settling, changes a second':58} {statistics.median(rates):12.0f} {'':12} {'':8}  >= 20000")


def _settle_all() -> None:
    from django_pollable.ledger.options import feed_of
    from django_pollable.ledger.sequencer import settle
    from tests.shop.models import Item

    while settle(feed_of(Item), using="default"):
        pass


if __name__ == "__main__":
    main()
