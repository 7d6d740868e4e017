"""What stands beside a PostgreSQL server: standbys that tests hold back and promote, and a pool."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.services import Postgres, free_port, program, wait_for


class Standby(Postgres):
    """A hot standby that streams from `primary`."""

    def __init__(self, primary: Postgres) -> None:
        self.primary = primary
        super().__init__()

    def ask(self, sql: str) -> Any:
        """Return the first value that `sql` gives."""
        with self.connect(autocommit=True) as database:
            return database.execute(sql).fetchone()[0]

    def hold_back(self) -> None:
        """Stay at what it shows now; what comes is kept for later."""
        self.ask("SELECT pg_wal_replay_pause()")
        self._wait_for("SELECT pg_get_wal_replay_pause_state() = 'paused'")

    def go_on(self) -> None:
        self.ask("SELECT pg_wal_replay_resume()")

    def catch_up(self) -> None:
        """Wait until it shows what the primary shows now; a commit of its own sends what has not gone out yet."""
        with self.primary.connect(autocommit=True) as database:
            (place,) = database.execute("SELECT pg_logical_emit_message(true, 'tests', '')").fetchone()
        self._wait_for(f"SELECT pg_last_wal_replay_lsn() >= '{place}'")

    def promote(self) -> None:
        """Make it a primary of its own."""
        self.ask("SELECT pg_promote()")

    def _create(self) -> None:
        command = [program("pg_basebackup", *self._places), "-R", "-c", "fast", "--no-sync", "-X", "stream"]
        self._run(*command, "-D", self._folder / "data", "-d", self.primary.url)

    def _wait_for(self, sql: str) -> None:
        for _ in range(600):
            if self.ask(sql):
                return
            time.sleep(0.05)
        raise TimeoutError(sql)


class PgBouncer:
    """Gives each transaction a connection of `postgres`, of which there are three: no client has one of its own."""

    def __init__(self, postgres: Postgres, folder: Path) -> None:
        command = program("pgbouncer", Path("/usr/sbin"))
        self.port = free_port()
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n* = host=127.0.0.1 port={postgres.port} user=postgres pool_size=3\n"
            f"[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={self.port}\nunix_socket_dir=\n"
            "auth_type=any\npool_mode=transaction\nmax_client_conn=200\n"
        )
        owner: dict[str, Any] = {}
        if os.getuid() == 0:
            owner = {"user": "postgres"}
            settings.chmod(0o644)
        arguments = [command, "-q", "/dev/stdin"]
        self._process = subprocess.Popen(arguments, stdin=settings.open(), stderr=subprocess.DEVNULL, **owner)
        wait_for(self.port)

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
