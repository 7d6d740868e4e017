"""The same requests over HTTP: gunicorn with one process and one thread, and clients that keep their connections."""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.benchmarks.measurements import CPU, RATE
from tests.services import free_port, wait_for

if TYPE_CHECKING:
    from tests.benchmarks.cases import Case
    from tests.benchmarks.requests import Ask

CONNECTIONS, ROUNDS, WARMING_SECONDS, SECONDS = 4, 3, 0.2, 1.0
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def measure(url: str) -> Iterator[tuple[str, str, float]]:
    """
    Give each case's answers a second, and the server's processor time for one, on the database `url`.

    The best of several rounds of all cases: what disturbs one round disturbs all of them.
    """
    from tests.benchmarks.cases import CASES

    with ExitStack() as stack:
        servers: dict[str, Server] = {}
        for case in CASES.values():
            name = json.dumps(case.settings, sort_keys=True)
            if name not in servers:
                servers[name] = stack.enter_context(_server(url, name))
        runs: dict[str, list[Run]] = {name: [] for name in CASES}
        for _ in range(ROUNDS):
            for case in CASES.values():
                runs[case.name].append(_run(case, servers[json.dumps(case.settings, sort_keys=True)]))
    for name, measured in runs.items():
        yield name, RATE, max(run.answers / run.seconds for run in measured)
        costs = [run.processor_seconds / run.answers for run in measured if run.processor_seconds is not None]
        if costs:
            yield name, CPU, min(costs)


class Server(NamedTuple):
    """A port, and the id of the process that serves it."""

    port: int
    worker: int


class Run(NamedTuple):
    """How many answers came in so many seconds, and what they cost the server."""

    answers: int
    seconds: float
    processor_seconds: float | None


def _run(case: Case, server: Server) -> Run:
    from django.test import override_settings

    from tests.benchmarks.requests import handler

    with override_settings(**case.settings):
        ask = case.prepare(case.first, handler())
    load(ask, case.status, server.port, WARMING_SECONDS)
    begin = _processor_seconds(server.worker)
    answers, seconds = load(ask, case.status, server.port, SECONDS)
    end = _processor_seconds(server.worker)
    return Run(answers, seconds, None if begin is None or end is None else end - begin)


@contextmanager
def _server(url: str, settings: str) -> Iterator[Server]:
    """Run gunicorn with `settings`, which are JSON."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        pid = Path(folder, "worker")
        Path(folder, "configuration.py").write_text(
            f"def post_fork(server, worker):\n    open({str(pid)!r}, 'w').write(str(worker.pid))\n"
        )
        options = ["--bind", f"127.0.0.1:{port}", "--workers", "1", "--threads", "1", "--worker-class", "gthread"]
        options += ["--keep-alive", "60", "--config", f"{folder}/configuration.py", "--log-level", "error"]
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *options, "django.core.wsgi:get_wsgi_application()"],
            env=os.environ | {"DATABASE_URL": url, "BENCHMARK_SETTINGS": settings},
        )
        try:
            wait_for(port)
            while not pid.exists() or not pid.read_text():
                time.sleep(0.05)
            yield Server(port, int(pid.read_text()))
        finally:
            server.terminate()
            server.wait()


def _processor_seconds(process: int) -> float | None:
    """Return the processor time that `process` has used, where /proc tells it (seconds)."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None
    return (int(fields[11]) + int(fields[12])) / TICKS


def load(ask: Ask, status: int, port: int, seconds: float) -> tuple[int, float]:
    """Ask on several connections at once, and return how many answers came and how long it took (seconds)."""
    request = _encoded(ask)
    answers = 0
    with selectors.DefaultSelector() as ready:
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
        begin = time.perf_counter()
        for client in clients:
            ready.register(client, selectors.EVENT_READ, bytearray())
            client.sendall(request)
        while time.perf_counter() - begin < seconds:
            for key, _ in ready.select(timeout=60):
                client, received = key.fileobj, key.data
                received += client.recv(1 << 18)  # type: ignore[union-attr]
                if _is_whole(received, status):
                    received.clear()
                    answers += 1
                    client.sendall(request)  # type: ignore[union-attr]
        elapsed = time.perf_counter() - begin
        _close(clients)
    return answers, elapsed


def _encoded(ask: Ask) -> bytes:
    lines = [f"GET {ask.path} HTTP/1.1", "Host: testserver", *(f"{k}: {v}" for k, v in ask.headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def _is_whole(received: bytearray, status: int) -> bool:
    """Return whether an answer has come to its end; it has to have `status`."""
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return False
    if not head.startswith(b"HTTP/1.1 %d" % status):
        raise RuntimeError(bytes(received[:500]))
    if status == 304:
        return True
    _, _, length = head.lower().partition(b"\r\ncontent-length:")
    return len(body) >= int(length.partition(b"\r\n")[0])


def _close(clients: Iterable[socket.socket]) -> None:
    """Take the last answers, and hang up."""
    for client in clients:
        client.recv(1 << 18)
        client.close()
