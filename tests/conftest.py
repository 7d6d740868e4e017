"""Fixtures: the test client, and a paced sequencer that never makes a test wait."""

from __future__ import annotations

import os
import tracemalloc  # noqa: F401 -- a warning that imports it may come in the middle of another such import
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from django_pollable import caches, heads, overload
from django_pollable.ledger import sequencer, triggers
from django_pollable.ledger.pace import Pace
from django_pollable.memory import Remembered
from tests.services import Postgres, Redis

ONCE = (
    "test_client_",
    "test_documents",
    "test_herd",
    "test_links",
    "test_metrics_",
    "test_outages",
    "test_pooling",
    "test_ranges_",
    "test_reference",
    "test_standbys",
    "test_testing_docs",
    "test_tutorial",
)
"""Modules that bring a database of their own, or need none: one of the runs of `python -m tests` has them."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the run on the first database has tried already."""
    if "POLLABLE_ANOTHER_DATABASE" in os.environ:
        config.hook.pytest_deselected(items=[item for item in items if item.path.name.startswith(ONCE)])
        items[:] = [item for item in items if not item.path.name.startswith(ONCE)]


@pytest.fixture(autouse=True)
def _fresh_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequencer, "_pace", Pace())


@pytest.fixture(autouse=True)
def _fresh_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overload, "switch", overload.Switch())


@pytest.fixture(autouse=True)
def _fresh_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "_copies", Remembered(heads.MOST))
    monkeypatch.setattr(caches, "_rest", caches.Rest())
    cache.clear()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.remove()


@pytest.fixture
def database(tmp_path: Path, transactional_db: None) -> Iterator[str]:
    """The URL of an empty database, for processes that a test starts."""
    if connection.vendor == "sqlite":
        yield f"sqlite:///{tmp_path}/empty.sqlite3"
        return
    name = f"pollable_empty_{os.getpid()}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    yield urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name}")


@pytest.fixture
def _reinstalled(transactional_db: None) -> Iterator[None]:
    """Put the triggers back: MariaDB commits at each statement that changes one."""
    yield
    triggers.install("default")


@pytest.fixture
def alice(db: None) -> User:
    user = User.objects.create_user("alice")
    Token.objects.create(user=user, key="alice-token")
    return user


@pytest.fixture
def api() -> APIClient:
    return APIClient()
