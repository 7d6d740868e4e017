"""`python -m tests.benchmarks.writers SCOPES`: update rows of one or two scopes a transaction until killed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time

WRITERS, SECONDS, ROWS = 16, 5.0, 2_000


def throughput(scopes: int, *, is_tracked: bool) -> tuple[float, int]:
    """Return the commits a second of all writers, and how many deadlocks they met, while a poller settles."""
    from django.db import connection

    from django_pollable.ledger import triggers
    from tests.shop.models import Item, Tenant

    triggers.drop("default")
    Item.objects.all()._raw_delete("default")
    Tenant.objects.all()._raw_delete("default")
    Tenant.objects.bulk_create(Tenant(pk=pk, name=str(pk)) for pk in (1, 2))
    Item.objects.bulk_create(Item(pk=pk, tenant_id=1 + pk % 2) for pk in range(1, ROWS + 1))
    if is_tracked:
        triggers.install("default")
    url = os.environ["DATABASE_URL"].rpartition("/")[0] + f"/{connection.settings_dict['NAME']}"
    writers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.writers", str(scopes), str(SECONDS)],
            env=os.environ | {"DATABASE_URL": url},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(WRITERS)
    ]
    is_over = threading.Event()
    poller = threading.Thread(target=_settle, args=[is_over])
    poller.start()
    for writer in writers:
        writer.stdout.readline()  # it is ready
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    counts = [tuple(map(int, writer.communicate()[0].split())) for writer in writers]
    is_over.set()
    poller.join()
    return sum(commits for commits, _ in counts) / SECONDS, sum(deadlocks for _, deadlocks in counts)


def _settle(is_over: threading.Event) -> None:
    from django.db import connection

    from django_pollable.ledger.options import feed_of
    from django_pollable.ledger.sequencer import settle
    from tests.shop.models import Item

    while not is_over.wait(0.1):
        settle(feed_of(Item), using="default")
    connection.close()


def main(scopes: int, seconds: float) -> None:
    """Print how many transactions committed and how many were deadlocked."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    from django.db import OperationalError, connection, transaction

    commits = deadlocks = 0
    connection.ensure_connection()
    print("ready", flush=True)
    sys.stdin.readline()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        keys = sorted(random.sample(range(1, ROWS // 2), 2 * scopes))
        chosen = sorted(2 * key + number % scopes for number, key in enumerate(keys))
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                for key in chosen:
                    cursor.execute("UPDATE shop_item SET count = count + 1 WHERE id = %s", [key])
            commits += 1
        except OperationalError:
            deadlocks += 1
    print(commits, deadlocks)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
