"""
`python -m tests.chaos SECONDS [--naive]`: exit status 3 where a client's rows differ, or each naive one's.

With `POLLABLE_CHAOS_RATE` (`10/s`) clients are refused, and wait as they are told. With `POLLABLE_CHAOS_STANDBYS`
each server reads a standby, which lags now and then, and `pollable settle --forever` numbers changes.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from typing import Any

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.chaos.settings"
STANDBYS = os.environ.pop("POLLABLE_CHAOS_STANDBYS", "").split()
"""Only servers read them."""

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import DatabaseError, connection  # noqa: E402
from django.utils import timezone  # noqa: E402

from django_pollable.ledger.options import feed_of  # noqa: E402
from django_pollable.ledger.pruning import prune  # noqa: E402
from tests.chaos.client import Client, DatedClient, NaiveClient, catch_up  # noqa: E402
from tests.chaos.standbys import Lag, Settling  # noqa: E402
from tests.chaos.writer import TENANTS  # noqa: E402
from tests.shop.models import Item, Tenant  # noqa: E402
from tests.shop.views import ChaosItems, NaiveItems  # noqa: E402

LOST = 3
IS_LIMITED = "POLLABLE_CHAOS_RATE" in os.environ
LEAST_PAGES = 2 if IS_LIMITED or STANDBYS else 5
PORTS = [random.randrange(20_000, 30_000) for _ in range(2)]
KILL_SECONDS, PRUNE_SECONDS, PATIENCE_SECONDS = 1.5, 0.5, 60


def start(module: str, *arguments: object, **environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", f"tests.chaos.{module}", *map(str, arguments)]
    return subprocess.Popen(command, env=os.environ | environment)


def start_servers() -> list[subprocess.Popen[bytes]]:
    reads = [{"POLLABLE_CHAOS_STANDBYS": url} for url in STANDBYS] or [{}]
    servers = [start("server", port, **reads[number % len(reads)]) for number, port in enumerate(PORTS)]
    for port in PORTS:
        wait_for(port)
    return servers


def clients() -> list[Client]:
    return [
        Client("fast", PORTS, "/chaos/1/items/", {}, 0.005),
        Client("slow", PORTS, "/chaos/2/items/", {"limit": 7}, 0.3),
        Client("idle", PORTS, "/chaos/3/items/", {"limit": 5}, 1.5),
        Client("filtered", PORTS, "/chaos/1/items/", {"status": "open"}, 0.05),
        Client("several", PORTS, "/chaos/1,2/items/", {"limit": 21}, 0.05),
        Client("whole", PORTS, "/chaos/all/items/", {}, 0.05),
    ]


def expected(client: Client) -> dict[str, Any]:
    """Return the rows that the client should have."""
    if isinstance(client, NaiveClient):
        return {str(row["id"]): row for row in NaiveItems.serializer_class(Item.objects.all(), many=True).data}
    scopes = client.path.split("/")[2]
    rows = ChaosItems.queryset.all() if scopes == "all" else ChaosItems.queryset.filter(tenant__in=scopes.split(","))
    if "status" in client.query:
        rows = rows.filter(status=client.query["status"])
    return {str(row["id"]): row for row in ChaosItems.serializer_class(rows, many=True).data}


def report(client: Client) -> int:
    """Print how the client's rows differ from the server's, and return in how many rows."""
    wanted = expected(client)
    missing = len(wanted.keys() - client.rows.keys())
    ghosts = len(client.rows.keys() - wanted.keys())
    stale = sum(dict(wanted[key]) != row for key, row in client.rows.items() if key in wanted)
    print(
        f"{connection.vendor} {client.name}: {len(wanted)} rows, answers {dict(client.answers)},"
        f" missing {missing}, stale {stale}, ghosts {ghosts}",
        flush=True,
    )
    return missing + stale + ghosts


def prepare() -> None:
    call_command("migrate", verbosity=0)
    Item.objects.all().delete()
    Tenant.objects.all().delete()
    Tenant.objects.bulk_create(Tenant(pk=tenant, name=str(tenant)) for tenant in TENANTS)
    now = timezone.now()
    Item.objects.bulk_create(Item(tenant_id=1 + number % 3, status="open", updated_at=now) for number in range(60))


def wait_for(port: int) -> None:
    """Wait until a server answers at `port`."""
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"no server at port {port}")


def naive_clients() -> list[Client]:
    return [
        NaiveClient("naive id", PORTS, "/naive/", {}, 0.005),
        DatedClient("updated_at", PORTS, "/naive/", {}, 0.005),
    ]


def wait_for_writes() -> None:
    """Wait until a writer has written: the time of a run begins then."""
    before = Item.objects.latest("pk").pk
    for _ in range(600):
        if Item.objects.latest("pk").pk > before:
            return
        time.sleep(0.1)
    raise TimeoutError("no writer writes")


def disturb(writers: list[subprocess.Popen[bytes]], seconds: float, path: str) -> None:
    """Prune, and where all paths are written kill a writer now and then, until the time is over."""
    end = time.monotonic() + seconds
    next_kill = time.monotonic() + KILL_SECONDS
    while time.monotonic() < end:
        time.sleep(PRUNE_SECONDS)
        if any(writer.poll() is not None for writer in writers):
            raise RuntimeError("A writer has ended by itself.")
        try:
            prune(feed_of(Item), using="default")
        except DatabaseError as error:
            print(f"pruning: {error}", flush=True)
        if path == "all" and time.monotonic() > next_kill:
            next_kill += KILL_SECONDS
            victim = random.randrange(len(writers))
            writers[victim].kill()
            writers[victim].wait()
            writers[victim] = start("writer", random.randrange(10**9), path)


def main(seconds: float, *, is_naive: bool) -> int:
    """Let writers write and clients poll, and return how many rows the clients lack or have too many in the end."""
    prepare()
    servers = start_servers()
    troubles = [*map(Lag, STANDBYS), *([Settling()] if STANDBYS else [])]
    path = "inserts" if is_naive else "all"  # losses of the naive clients come from the order of commits alone
    writers = [start("writer", random.randrange(10**9), path) for _ in range(2 if connection.vendor == "sqlite" else 5)]
    polling = naive_clients() if is_naive else clients()
    try:
        for client in polling:
            client.start()
        wait_for_writes()
        for trouble in troubles:
            trouble.has_begun.wait()
        disturb(writers, seconds, path)
        for _ in range(PATIENCE_SECONDS if STANDBYS else 0):
            if not any(client.answers[503] for client in polling):
                disturb(writers, 1, path)
        for writer in writers:
            writer.kill()
            writer.wait()
        for trouble in troubles:
            trouble.leave_off()
        catch_up(polling)
        losses = [report(client) for client in polling]
        check_that_it_proves_something(polling)
        return min(losses) if is_naive else sum(losses)
    finally:
        for trouble in troubles:
            trouble.end()
        for process in servers + writers:
            process.kill()


def check_that_it_proves_something(polling: list[Client]) -> None:
    if any(client.answers[200] < LEAST_PAGES for client in polling):
        raise RuntimeError("A client has hardly seen a change: the run proves nothing.")
    if IS_LIMITED and not any(client.answers[429] for client in polling):
        raise RuntimeError("No client was refused: the run proves nothing of limits.")
    if STANDBYS and not any(client.answers[503] for client in polling):
        raise RuntimeError("No client was ahead of a standby: the run proves nothing of standbys.")


if __name__ == "__main__":
    sys.exit(LOST if main(float(sys.argv[1]), is_naive="--naive" in sys.argv) else 0)
