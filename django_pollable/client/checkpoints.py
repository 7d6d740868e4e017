"""Where a client keeps its place: in memory, in a file, in SQLite."""

from __future__ import annotations

import json
import os
import sqlite3
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from django_pollable.client.machine import Checkpoint

try:
    import fcntl
except ImportError:  # pragma: no cover -- Windows
    fcntl = None  # type: ignore[assignment]


class CheckpointError(RuntimeError):
    """The checkpoint cannot be read, or is another process's."""


class CheckpointStore(Protocol):
    """
    Keeps one checkpoint a key; a key names a feed and an identity.

    `load` returns what the last `save` stored, also in another process and after a crash.
    """

    def load(self, key: str) -> Checkpoint | None: ...

    def save(self, key: str, checkpoint: Checkpoint) -> None: ...

    def close(self) -> None: ...


class MemoryStore:
    """Keeps checkpoints as long as the process lives."""

    def __init__(self) -> None:
        self._kept: dict[str, Checkpoint] = {}

    def load(self, key: str) -> Checkpoint | None:
        """Return the checkpoint of `key`."""
        return self._kept.get(key)

    def save(self, key: str, checkpoint: Checkpoint) -> None:
        """Keep `checkpoint`."""
        self._kept[key] = checkpoint

    def close(self) -> None:
        """Do nothing: what was kept stays."""


class FileStore:
    """
    Keeps one checkpoint in a file that is replaced as a whole, and survives a loss of power.

    A lock on `<path>.lock` keeps a second process out until `close()` (not on Windows). A file with the
    checkpoint of another feed or identity counts as none.

    Raises:
        CheckpointError: another process has the file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        if fcntl is not None:  # pragma: no branch -- Windows has none
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(self._lock)
                raise CheckpointError(f"Another process has {self._path}.") from None

    def load(self, key: str) -> Checkpoint | None:
        """
        Return the checkpoint of `key`.

        Raises:
            CheckpointError: the file holds something else.
        """
        try:
            data = json.loads(self._path.read_bytes())
            return Checkpoint(**data["checkpoint"]) if data["key"] == key else None
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):
            raise CheckpointError(f"{self._path} holds no checkpoint.") from None

    def save(self, key: str, checkpoint: Checkpoint) -> None:
        """Replace the file: whoever reads it, at any time, sees the old one or the new one."""
        data = json.dumps({"key": key, "checkpoint": asdict(checkpoint)})
        temporary = f"{self._path}.tmp"  # always the same name, so that a killed process leaves no rubbish
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._path)
        _sync_folder(self._path.parent)

    def close(self) -> None:
        """Let another process have the file."""
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1


def _sync_folder(folder: Path) -> None:
    """Make the new name of a file survive a loss of power."""
    if os.name == "nt":  # pragma: no cover -- has no such thing
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class SqliteStore:
    """
    Keeps checkpoints in a table of an SQLite database.

    With the connection that a handler writes through, and `ack()` after the rows inside the handler's transaction,
    rows and checkpoint are committed together; without an open transaction `save` commits by itself.
    """

    def __init__(self, database: sqlite3.Connection | str | os.PathLike[str]) -> None:
        self._is_own = not isinstance(database, sqlite3.Connection)
        self._connection = database if isinstance(database, sqlite3.Connection) else sqlite3.connect(database)
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS pollable_checkpoint (key TEXT PRIMARY KEY, checkpoint TEXT NOT NULL)"
        )

    def load(self, key: str) -> Checkpoint | None:
        """Return the checkpoint of `key`."""
        query = "SELECT checkpoint FROM pollable_checkpoint WHERE key = ?"
        row: Any = self._connection.execute(query, [key]).fetchone()
        return None if row is None else Checkpoint(**json.loads(row[0]))

    def save(self, key: str, checkpoint: Checkpoint) -> None:
        """Keep `checkpoint`, in the transaction that is open, or at once."""
        is_open = self._connection.in_transaction
        self._connection.execute(
            "INSERT OR REPLACE INTO pollable_checkpoint VALUES (?, ?)", [key, json.dumps(asdict(checkpoint))]
        )
        if not is_open:
            self._connection.commit()

    def close(self) -> None:
        """Close the database, unless it is the caller's connection."""
        if self._is_own:
            self._connection.close()
