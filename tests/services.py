"""Servers that tests start for themselves, and may stop as they like."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest


def program(name: str, *places: Path) -> str:
    """Return where a program is; without it the test is skipped, or fails where `POLLABLE_REQUIRE_SERVICES` is set."""
    found = shutil.which(name) or next((str(place / name) for place in places if (place / name).exists()), None)
    if found is None:
        missing = f"{name} is not installed"
        pytest.fail(missing) if os.environ.get("POLLABLE_REQUIRE_SERVICES") else pytest.skip(missing)
    return found


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, *, seconds: float = 30) -> None:
    """Wait until a server answers at `port`."""
    for _ in range(int(seconds * 20)):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"no server at port {port}")


class Redis:
    """A Redis server of the test's own."""

    def __init__(self, folder: Path) -> None:
        self._command = [program("redis-server"), "--save", "", "--appendonly", "no", "--dir", str(folder)]
        self.port = free_port()
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def cache(self) -> dict[str, Any]:
        return {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": self.url}

    def start(self) -> None:
        self._process = subprocess.Popen([*self._command, "--port", str(self.port)], stdout=subprocess.DEVNULL)
        wait_for(self.port)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
