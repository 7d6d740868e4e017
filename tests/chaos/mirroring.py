"""`python -m tests.chaos.mirroring SECONDS`: exit status 3 where a mirror's rows differ from the server's."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.chaos.settings"

import django

django.setup()

from django.db import connection  # noqa: E402

from django_pollable.client.poller import Poller  # noqa: E402
from django_pollable.client.waits import Pace  # noqa: E402
from django_pollable.mirror.mirroring import ModelMirror  # noqa: E402
from django_pollable.mirror.models import Mark, StoredCheckpoint  # noqa: E402
from django_pollable.mirror.stores import DjangoStore  # noqa: E402
from tests.chaos.__main__ import LOST, PORTS, disturb, prepare, start, wait_for  # noqa: E402
from tests.copies.models import ItemCopy  # noqa: E402
from tests.shop.models import Item  # noqa: E402
from tests.shop.views import ChaosItems  # noqa: E402

PATH = "/chaos/all/items/?limit=23"
KILL_SECONDS = 1.0


def follow(port: int, *, once: bool = False) -> None:
    """Mirror until killed, or to the end of the feed."""
    url = f"http://127.0.0.1:{port}{PATH}"
    poller = Poller(url, store=DjangoStore(), pace=Pace(interval=0.05, backoff_cap=0.2))
    mirror = ModelMirror(ItemCopy, poller)
    mirror.catch_up() if once else mirror.run()


def rows() -> tuple[dict[int, object], dict[int, object]]:
    """Return the server's rows and the mirror's, as the feed shows them."""
    fields = ("id", "tenant", "name", "status", "count", "parts")
    shown = ChaosItems.serializer_class(ChaosItems.queryset.all(), many=True).data
    wanted = {row["id"]: tuple(row[field] for field in fields) for row in shown}
    return wanted, {row[0]: row for row in ItemCopy.objects.values_list(*fields)}


def main(seconds: float) -> int:
    """Let writers write, kill them and the mirror, and return how many rows differ in the end."""
    prepare()
    ItemCopy.objects.all().delete()
    ItemCopy.objects.create(pk=10**9, name="of before")
    StoredCheckpoint.objects.all().delete()
    Item.objects.bulk_create(Item(tenant_id=1, name=str(number)) for number in range(500))
    server = start("server", PORTS[0])
    wait_for(PORTS[0])
    writers = [
        start("writer", random.randrange(10**9), "all") for _ in range(2 if connection.vendor == "sqlite" else 5)
    ]
    kills = 0
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            mirror = subprocess.Popen([sys.executable, "-m", "tests.chaos.mirroring", "--follow", str(PORTS[0])])
            disturb(writers, KILL_SECONDS + random.random(), "all")
            mirror.kill()
            mirror.wait()
            kills += 1
        for writer in writers:
            writer.kill()
            writer.wait()
        follow(PORTS[0], once=True)
        follow(PORTS[0], once=True)  # what another process was numbering comes with the next poll
        wanted, kept = rows()
    finally:
        for process in [server, *writers]:
            process.kill()
    missing, ghosts = len(wanted.keys() - kept.keys()), len(kept.keys() - wanted.keys())
    stale = sum(wanted[key] != row for key, row in kept.items() if key in wanted)
    print(
        f"{connection.vendor} mirror: {len(wanted)} rows, {kills} kills, missing {missing}, stale {stale},"
        f" ghosts {ghosts}, marks left {Mark.objects.count()}",
        flush=True,
    )
    return missing + ghosts + stale


if __name__ == "__main__":
    if sys.argv[1] == "--follow":
        follow(int(sys.argv[2]))
    sys.exit(LOST if main(float(sys.argv[1])) else 0)
