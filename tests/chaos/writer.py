"""`python -m tests.chaos.writer SEED all|inserts`: write by every path, or only insert, until killed."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import django

django.setup()

from django.db import Error, connection, transaction  # noqa: E402
from django.db.models import F  # noqa: E402
from django.utils import timezone  # noqa: E402

from tests.shop.models import Item, Part  # noqa: E402

TENANTS = (1, 2, 3)
dice = random.Random()


class RollBack(Exception):
    """Leave a transaction or a savepoint without its writes."""


def some_key() -> int:
    keys = list(Item.objects.order_by("pk").values_list("pk", flat=True)[:400])
    return dice.choice(keys) if keys else 1


def item(**values: Any) -> Item:
    values |= {"status": dice.choice(["open", "shut"]), "updated_at": timezone.now()}
    return Item(tenant_id=dice.choice(TENANTS), name=str(dice.random()), **values)


def save() -> None:
    found = Item.objects.filter(pk=some_key()).first() or item()
    found.status, found.count = dice.choice(["open", "shut"]), found.count + 1
    found.save()


def upsert() -> None:
    target = {} if connection.vendor == "mysql" else {"unique_fields": ["id"]}
    Item.objects.bulk_create([item(id=some_key())], update_conflicts=True, update_fields=["name", "tenant"], **target)


def create_again() -> None:
    key = some_key()
    Item.objects.filter(pk=key).delete()
    Item.objects.bulk_create([item(id=key)], ignore_conflicts=True)


def update_in_bulk() -> None:
    found = list(Item.objects.filter(pk__gte=some_key())[:5])
    for one in found:
        one.name = str(dice.random())
    Item.objects.bulk_update(found, ["name"])


def raw() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE shop_item SET name = %s WHERE id = %s", [str(dice.random()), some_key()])


def add_part() -> None:
    owner = Item.objects.filter(pk=some_key()).first()
    if owner:
        Part.objects.create(item=owner, name=str(dice.random()))


def several(start: int, length: int) -> Any:
    return Item.objects.filter(pk__gte=start, pk__lt=start + length)


PATHS: list[Callable[[], object]] = [
    lambda: item().save(),
    lambda: item().save(),
    lambda: Item.objects.bulk_create(item() for _ in range(dice.randrange(1, 12))),
    save,
    save,
    lambda: several(some_key(), 10).update(count=F("count") + 1),
    lambda: several(some_key(), 1).update(tenant=dice.choice(TENANTS)),
    lambda: several(some_key(), 2).delete(),
    upsert,
    create_again,
    update_in_bulk,
    raw,
    add_part,
    lambda: Part.objects.filter(item_id=some_key()).update(name=str(dice.random())),
    lambda: Part.objects.filter(item_id=some_key()).delete(),
]


def write_in_savepoint() -> None:
    try:
        with transaction.atomic():
            dice.choice(PATHS)()
            if dice.random() < 0.5:
                raise RollBack
    except RollBack:
        pass


def transact() -> None:
    """Write a few times in one transaction, which takes up to 400 ms; 15 % are rolled back."""
    slow = 0.08 if connection.vendor != "sqlite" else 0.01
    with transaction.atomic():
        for _ in range(dice.randrange(1, 5)):
            write_in_savepoint() if dice.random() < 0.2 else dice.choice(PATHS)()
            if dice.random() < slow:
                time.sleep(dice.uniform(0.05, 0.1))
        if dice.random() < 0.15:
            raise RollBack


if __name__ == "__main__":
    dice.seed(int(sys.argv[1]))
    if sys.argv[2] == "inserts":
        PATHS[:] = [lambda: item().save()]
    while True:
        with suppress(RollBack, Error):  # deadlocks, conflicts and outages are part of it
            transact()
        connection.close_if_unusable_or_obsolete()
        time.sleep(dice.uniform(0, 0.01))
