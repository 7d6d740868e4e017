"""Where a client keeps its place."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from django_pollable.client.checkpoints import CheckpointError, CheckpointStore, FileStore, MemoryStore, SqliteStore
from django_pollable.client.machine import Checkpoint

FULL = Checkpoint("a.b-c_d", 'W/"x"', is_resetting=True, unchanged=3)


@pytest.fixture(params=["memory", "file", "sqlite", "connection"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CheckpointStore]:
    path = tmp_path / "checkpoint"
    connection = sqlite3.connect(path)
    kinds = {
        "memory": MemoryStore,
        "file": lambda: FileStore(tmp_path / "file"),
        "sqlite": lambda: SqliteStore(path),
        "connection": lambda: SqliteStore(connection),
    }
    made = kinds[request.param]()
    yield made
    made.close()
    connection.close()


def test_what_is_saved_is_loaded(store: CheckpointStore) -> None:
    assert store.load("feed") is None

    store.save("feed", Checkpoint("first"))
    store.save("feed", FULL)

    assert store.load("feed") == FULL
    assert store.load("another feed") is None


@pytest.mark.parametrize("kind", [FileStore, SqliteStore])
def test_a_checkpoint_outlives_its_store(kind: type[FileStore], tmp_path: Path) -> None:
    for number in range(3):
        store = kind(tmp_path / "checkpoint")
        assert store.load("feed") == (Checkpoint(str(number - 1)) if number else None)
        store.save("feed", Checkpoint(str(number)))
        store.close()
        store.close()


def test_a_file_belongs_to_one_process(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "checkpoint")

    with pytest.raises(CheckpointError, match="Another process has"):
        FileStore(tmp_path / "checkpoint")
    store.close()
    with open(os.devnull) as taken:
        store.close()
        assert taken.read() == ""
    FileStore(tmp_path / "checkpoint").close()


def test_a_file_is_replaced_as_a_whole_and_leaves_no_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    path.with_name("checkpoint.tmp").write_text("left by a process that was killed" * 100)
    store = FileStore(path)

    store.save("feed", FULL)

    assert store.load("feed") == FULL
    assert sorted(file.name for file in tmp_path.iterdir()) == ["checkpoint", "checkpoint.lock"]
    store.close()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"key": "feed"}', '{"key": "feed", "checkpoint": {"x": 1}}'])
def test_a_file_that_holds_something_else_is_not_overwritten(tmp_path: Path, content: str) -> None:
    (tmp_path / "checkpoint").write_text(content)
    store = FileStore(tmp_path / "checkpoint")

    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        store.load("feed")
    store.close()


def test_a_checkpoint_in_a_transaction_goes_with_it(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "rows")
    store = SqliteStore(database)
    database.execute("CREATE TABLE rows (id)")
    store.save("feed", Checkpoint("old"))

    database.execute("INSERT INTO rows VALUES (1)")
    store.save("feed", Checkpoint("new"))
    database.rollback()

    assert store.load("feed") == Checkpoint("old")
    assert database.execute("SELECT count(*) FROM rows").fetchone() == (0,)
    database.close()
