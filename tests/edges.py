"""Servers for edges to stand in front of, and crowds to ask them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from example_project import edge
from tests.services import free_port, wait_for

HERE = "127.0.0.1"


@dataclass(frozen=True)
class Asked:
    """A request that has reached the origin, and what it was answered."""

    method: str
    path: str
    query: str
    if_none_match: str
    authorization: str
    cookie: str
    forwarded_for: str
    status: int


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Board:
    """The example project in gunicorn, as behind an edge; it knows what it has been asked."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._requests = folder / "requests"
        self._environment = os.environ | {
            "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
            "DJANGO_SETTINGS_MODULE": "example_project.settings",
            "POLLABLE_NUM_PROXIES": "1",
            "REQUESTS": str(self._requests),
        }
        self.manage("migrate")
        self.manage("seed")
        self.start()

    def manage(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "django", *arguments]
        subprocess.run(command, env=self._environment, check=True, capture_output=True)

    def start(self) -> None:
        options = ["--bind", f"127.0.0.1:{self.port}", "--threads", "8", "--graceful-timeout", "1"]
        command = [sys.executable, "-m", "gunicorn", *options, "tests.recorded"]
        self._server = subprocess.Popen(command, env=self._environment, stderr=subprocess.DEVNULL)
        wait_for(self.port)

    def stop(self) -> None:
        self._server.terminate()
        self._server.wait()

    def change(self) -> None:
        """Queue build 7 of a public project."""
        url = f"http://127.0.0.1:{self.port}/api/projects/2/builds/"
        headers = {"Authorization": "Token alice-demo-token"}
        values = b"number=7&commit=c0ffee&author=me"
        with urllib.request.urlopen(urllib.request.Request(url, values, headers), timeout=30) as answer:
            answer.read()

    def asked(self, query: str, path: str = "") -> list[Asked]:
        """Return the requests so far whose queries begin with `query`."""
        lines = self._requests.read_text().splitlines() if self._requests.exists() else []
        found = [Asked(**json.loads(line)) for line in lines]
        return [one for one in found if one.query.startswith(query) and one.path.startswith(path)]


@contextmanager
def in_front_of(origin: int, kind: str) -> Iterator[int]:
    """Run an edge in front of a port, and give its own."""
    port = free_port()
    with edge.running(kind, port=port, origin=origin):
        wait_for(port)
        yield port


def ask(port: int, path: str, *, method: str = "GET", address: str = HERE, **headers: str) -> Answer:
    """Ask once, from an address of one's own; `_` in a header's name is `-`."""
    return asyncio.run(_ask(port, path, method, address, headers))


def ask_together(port: int, path: str, count: int, **headers: str) -> list[Answer]:
    """Ask the same `count` times at once."""
    return asyncio.run(_together([_ask(port, path, "GET", HERE, headers) for _ in range(count)]))


def poll_together(port: int, path: str, count: int, *, until: Callable[[Answer], bool], **headers: str) -> list[Answer]:
    """Let `count` clients poll twice a second until each has got what it waits for; return all answers."""
    answers: list[Answer] = []

    async def poll() -> None:
        while True:
            answers.append(await _ask(port, path, "GET", HERE, headers))
            if until(answers[-1]):
                return
            await asyncio.sleep(0.5)

    asyncio.run(_together([poll() for _ in range(count)]))
    return answers


async def _together(coroutines: list[Any]) -> list[Any]:
    async with asyncio.timeout(60):
        return list(await asyncio.gather(*coroutines))


async def _ask(port: int, path: str, method: str, address: str, headers: dict[str, str]) -> Answer:
    fields = {"Host": f"127.0.0.1:{port}", "Connection": "close"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
        writer.write("\r\n".join(lines).encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    status, *given = head.decode().split("\r\n")
    found: dict[str, str] = {}
    for name, value in (field.split(": ", 1) for field in given):
        found[name.lower()] = f"{found[name.lower()]}, {value}" if name.lower() in found else value
    body = _joined(body) if found.get("transfer-encoding") == "chunked" else body
    return Answer(int(status.split()[1]), found, body)


def _joined(body: bytes) -> bytes:
    """Return what was sent in chunks."""
    whole = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        whole, body = whole + rest[:length], rest[length + 2 :] if length else b""
    return whole
