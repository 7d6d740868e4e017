"""
`python -m tests.benchmarks.processes`: unchanged polls through gunicorn, on a PostgreSQL of its own (needs `wrk`).

Says how many answers a second came, and how much of a core each took of the web server and of the database: these
hold also where the machine is busy with other things.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from tests.services import Gunicorn, Postgres, program

SECONDS, CLIENTS = 8, 16
TICKS = os.sysconf("SC_CLK_TCK")
TOKEN = "benchmark-token"

PRIVATE = "/tenants/1/items/"
PUBLIC = "/chaos/1/items/"
RUNS = [
    ("private, one process", PRIVATE, 1, {}),
    ("private, two processes", PRIVATE, 2, {}),
    ("private, two processes, CONN_MAX_AGE = 0", PRIVATE, 2, {"POLLABLE_CHAOS_CONN_MAX_AGE": "0"}),
    ("public, one process, head read at each poll", PUBLIC, 1, {}),
    ("public, one process, head published each second", PUBLIC, 1, {"POLLABLE_CHAOS_PUBLISH_SECONDS": "1"}),
    ("public, two processes, head published each second", PUBLIC, 2, {"POLLABLE_CHAOS_PUBLISH_SECONDS": "1"}),
]


def cpu_seconds(pid: int) -> float:
    """Return what a process has used, with the children that it has and had (seconds)."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(") ")[2].split()
        except OSError:
            continue  # it has just ended
        if int(stat.parent.name) == pid:
            total += sum(map(int, fields[11:15]))
        elif int(fields[1]) == pid:
            total += sum(map(int, fields[11:13]))
    return total / TICKS


def unchanged(port: int, path: str) -> tuple[str, dict[str, str]]:
    """Return the URL and the headers of a poll that has nothing new to see."""
    headers = {"Authorization": f"Token {TOKEN}"} if path == PRIVATE else {}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}?since=now", headers=headers)
    with urllib.request.urlopen(request) as answer:
        since = re.search(rb'"next_since":"([^"]+)"', answer.read())
        assert since
        return f"{request.full_url.replace('now', since[1].decode())}", headers | {
            "If-None-Match": answer.headers["ETag"]
        }


def fill(postgres: Postgres) -> None:
    """Make the user, the tenant and the rows."""
    with postgres.connect() as database:
        database.execute("INSERT INTO shop_tenant (id, name) VALUES (1, 'alice')")
        database.execute(
            "INSERT INTO auth_user (id, username, password, is_superuser, first_name, last_name, email, is_staff,"
            " is_active, date_joined) VALUES (1, 'alice', '', false, '', '', '', false, true, now())"
        )
        database.execute("INSERT INTO authtoken_token (key, created, user_id) VALUES (%s, now(), 1)", [TOKEN])
        database.execute(
            "INSERT INTO shop_item (tenant_id, name, status, count, data)"
            " SELECT 1, number::text, 'open', 0, '{}' FROM generate_series(1, 1000) number"
        )


def measure(name: str, server: Gunicorn, postgres: Postgres, path: str) -> None:
    url, headers = unchanged(server.port, path)
    command = [program("wrk"), "-t1", f"-c{CLIENTS}"]
    for field, value in headers.items():
        command += ["-H", f"{field}: {value}"]
    subprocess.run([*command, "-d2s", url], check=True, capture_output=True)
    before = cpu_seconds(server.pid), cpu_seconds(postgres.pid)
    began = time.monotonic()
    said = subprocess.run([*command, f"-d{SECONDS}s", url], check=True, capture_output=True, text=True).stdout
    took = time.monotonic() - began
    count = int(re.search(r"(\d+) requests in", said)[1])  # type: ignore[index]
    assert "Non-2xx or 3xx" not in said, said
    web, rows = (cpu_seconds(pid) - used for pid, used in zip((server.pid, postgres.pid), before, strict=True))
    print(f"{name:52} {count / took:9.0f} {web / count * 1e6:12.0f} {rows / count * 1e6:12.0f}", flush=True)


def main() -> None:
    print(f"{'':52} {'answers/s':>9} {'web, µs':>12} {'database, µs':>12}")
    with ExitStack() as stack:
        postgres = Postgres()
        stack.callback(postgres.remove)
        for number, (name, path, workers, environment) in enumerate(RUNS):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            server = Gunicorn(folder, {"DATABASE_URL": postgres.url, **environment}, workers=workers)
            try:
                if number == 0:
                    fill(postgres)
                measure(name, server, postgres, path)
            finally:
                server.stop()


if __name__ == "__main__":
    main()
