"""`python -m tests.first_sync ROWS KILLS`: a first sync of a whole table by a client that is killed again and again."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from django_pollable.client.answers import Page
from django_pollable.client.checkpoints import SqliteStore
from django_pollable.client.poller import Poller

LIMIT = 1000
SHORTEST, LONGEST = 0.7, 3.0
"""How long a client lives (seconds): it needs half a second to begin."""


def follow(url: str, folder: Path) -> None:
    """Mirror the keys and the names of all rows, each page and its checkpoint in one transaction."""
    database = sqlite3.connect(folder / "rows.sqlite3", timeout=30)
    database.execute("CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, name TEXT)")
    database.execute("CREATE TABLE IF NOT EXISTS peaks (bytes INTEGER)")
    poller = Poller(url, store=SqliteStore(database))

    def handle(page: Page) -> None:
        with database:
            if page.is_reset:
                database.execute("DELETE FROM rows")
            database.executemany("INSERT OR REPLACE INTO rows VALUES (:id, :name)", page.items)
            database.executemany("DELETE FROM rows WHERE id = ?", [(key,) for key in page.removed])
            poller.ack()

    poller.catch_up(handle)
    outcome = poller.catch_up(handle)  # what changed while the first sync went on
    with database:
        database.execute("INSERT INTO peaks VALUES (?)", [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024])
    sys.exit(0 if outcome.kind in ("page", "idle") else 1)


def main(rows: int, kills: int) -> dict[str, Any]:
    """Return how the client's rows differ from the table's in the end, and the most memory of both sides (bytes)."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.chaos.settings"
    import django

    django.setup()
    from django.core.management import call_command

    from tests.bulk import adopt
    from tests.services import Gunicorn
    from tests.shop.models import Item, Tenant

    call_command("migrate", verbosity=0)
    Item.objects.all()._raw_delete("default")
    tenant, _ = Tenant.objects.get_or_create(name="many")
    columns = {"tenant_id": str(tenant.pk), "name": "'name'", "status": "'new'", "count": "0", "data": "'{}'"}
    adopt(Item._meta.db_table, columns, last=rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = Gunicorn(folder, {}, workers=1)
        try:
            began_at = time.monotonic()
            _sync(f"http://127.0.0.1:{server.port}/open/all/items/?limit={LIMIT}", folder, kills)
            seconds = time.monotonic() - began_at
            peaks = [_peak_of(child) for child in _children(server.pid)]
        finally:
            server.stop()
        database = sqlite3.connect(folder / "rows.sqlite3")
        found = dict(database.execute("SELECT id, name FROM rows"))
        client_peak = database.execute("SELECT max(bytes) FROM peaks").fetchone()[0]
    wanted = dict(Item.objects.values_list("pk", "name").iterator(chunk_size=10_000))
    return {
        "rows": len(wanted),
        "kills": kills,
        "missing": len(wanted.keys() - found.keys()),
        "ghosts": len(found.keys() - wanted.keys()),
        "stale": sum(found[key] != wanted[key] for key in wanted.keys() & found.keys()),
        "seconds": round(seconds),
        "server_peak": max(peaks),
        "client_peak": client_peak,
    }


def _sync(url: str, folder: Path, kills: int) -> None:
    """Let clients follow, each but the last of which is killed; and change the table meanwhile."""
    from tests.shop.models import Item

    command = [sys.executable, "-m", "tests.first_sync", "follow", url, str(folder)]
    for turn in range(kills):
        client = subprocess.Popen(command)
        time.sleep(random.uniform(SHORTEST, LONGEST))
        client.kill()
        client.wait()
        Item.objects.filter(pk__in=random.sample(range(1, 1000), 3)).update(name=f"changed {turn}")
        Item.objects.order_by("-pk" if turn % 2 else "pk")[0].delete()
    subprocess.run(command, check=True)


def _children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _peak_of(process: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) * 1024 if found else 0


if __name__ == "__main__":
    if sys.argv[1] == "follow":
        follow(sys.argv[2], Path(sys.argv[3]))
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
