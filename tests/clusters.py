"""PostgreSQL standbys that tests start for themselves, hold back and promote."""

from __future__ import annotations

import time
from typing import Any

from tests.services import Postgres, program


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
        """Wait until it shows what the primary shows now."""
        with self.primary.connect() as database:
            (place,) = database.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
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
