"""Servers that tests start for themselves, and may stop as they like."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NoReturn

import pytest


def program(name: str, *places: Path) -> str:
    """Return where a program is; without it the test is skipped, or fails where `POLLABLE_REQUIRE_SERVICES` is set."""
    found = shutil.which(name) or next((str(place / name) for place in places if (place / name).exists()), None)
    return found or _without(name)


def module(name: str) -> Any:
    """Import a module; without it the test is skipped or fails, as without a program."""
    return importlib.import_module(name) if importlib.util.find_spec(name) else _without(name)


def _without(name: str) -> NoReturn:
    missing = f"{name} is not installed"
    pytest.fail(missing) if os.environ.get("POLLABLE_REQUIRE_SERVICES") else pytest.skip(missing)


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

    def hang(self) -> None:
        """Answer nothing any more, and keep the port."""
        self._process.send_signal(signal.SIGSTOP)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


class Postgres:
    """A PostgreSQL cluster of the test's own; its server runs as `postgres` where the tests run as root."""

    def __init__(self) -> None:
        self._driver = module("psycopg")
        self._places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
        self._pg_ctl = program("pg_ctl", *self._places)
        self._owner: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}
        self._folder = Path(tempfile.mkdtemp(prefix="pollable-"))
        if self._owner:
            shutil.chown(self._folder, **self._owner)
        self.port = free_port()
        try:
            self._create()
            self.start()
        except BaseException:
            self.remove()
            raise

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def log(self) -> str:
        """What the server has said."""
        return (self._folder / "log").read_text()

    @property
    def pid(self) -> int:
        return int((self._folder / "data" / "postmaster.pid").read_text().split()[0])

    def connect(self, **options: Any) -> Any:
        return self._driver.connect(self.url, **options)

    def set(self, setting: str, value: str) -> None:
        """Change a setting while the server runs."""
        with self.connect(autocommit=True) as database:
            database.execute(f"ALTER SYSTEM SET {setting} = '{value}'")
            database.execute("SELECT pg_reload_conf()")

    def start(self) -> None:
        options = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run(self._pg_ctl, "-w", "-D", self._folder / "data", "-l", self._folder / "log", "-o", options, "start")

    def stop(self) -> None:
        """End it as a crash does."""
        self._run(self._pg_ctl, "-w", "-m", "immediate", "-D", self._folder / "data", "stop")

    def remove(self) -> None:
        if (self._folder / "data" / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self._folder)

    def _create(self) -> None:
        initdb = program("initdb", *self._places)
        self._run(initdb, "-U", "postgres", "-A", "trust", "--no-sync", "-D", self._folder / "data")

    def _run(self, *command: str | Path) -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self._folder, **self._owner)


class Gunicorn:
    """The URLs of `settings`, served by several processes and threads."""

    def __init__(
        self, folder: Path, environment: dict[str, str], *, workers: int = 2, settings: str = "tests.chaos.settings"
    ) -> None:
        self.environment = os.environ | environment | {"DJANGO_SETTINGS_MODULE": settings}
        self.port = free_port()
        self.log = folder / "gunicorn.log"
        subprocess.run([sys.executable, "-m", "django", "migrate", "-v0"], env=self.environment, check=True)
        options = ["--bind", f"127.0.0.1:{self.port}", "--workers", str(workers), "--threads", "4"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *options, "django.core.wsgi:get_wsgi_application()"],
            env=self.environment,
            stderr=self.log.open("w"),
        )
        wait_for(self.port)

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()


class RangeServer:
    """Gunicorn with one worker, and a folder whose files it serves by ranges."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        options = ["--bind", f"127.0.0.1:{self.port}", "--threads", "4", "--log-level", "critical"]
        command = [sys.executable, "-m", "gunicorn", *options, "django.core.wsgi:get_wsgi_application()"]
        environment = {"DJANGO_SETTINGS_MODULE": "tests.settings", "MEDIA_ROOT": str(folder)}
        self._process = subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.DEVNULL)
        wait_for(self.port)

    def connect(self, path: str, **headers: str) -> Any:
        """Return an answer that has not been read."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", path, headers=headers)
        return connection.getresponse()

    @property
    def worker(self) -> str:
        """Return the process that answers."""
        (worker,) = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return worker

    @property
    def peak(self) -> int:
        """Return the most memory that a process of the server ever had (bytes)."""
        lines = Path(f"/proc/{self.worker}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
