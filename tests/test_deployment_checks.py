"""System checks of how polls reach their databases and their cache."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.test import Client, override_settings

from django_pollable.checks.deployment import (
    OUTAGES,
    SESSIONS,
    check_cache,
    check_connections,
    check_outages,
    check_replicas,
    check_sessions,
)

ALIASES = ("archive", "default")
TIMEOUTS = {"socket_timeout": 0.2, "socket_connect_timeout": 0.2}
keeps_connections = pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no connections to keep")


class ReadsAStandby:
    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "standby"


def test_a_standby_that_is_read_wants_someone_who_settles() -> None:
    with override_settings(DATABASE_ROUTERS=[ReadsAStandby()]):
        (advice,) = check_replicas(None)

    assert advice.id == "pollable.W044"
    assert "shop.item" in advice.msg


def test_polls_of_what_is_written_want_nothing() -> None:
    assert check_replicas(None) == []


@keeps_connections
def test_a_connection_for_each_poll_is_advised_against() -> None:
    found = check_connections(None)

    assert [advice.id for advice in found] == ["pollable.W045"] * 2
    assert all(f"'{alias}'" in advice.msg for alias, advice in zip(ALIASES, found, strict=True))


@pytest.mark.parametrize("kept", [{"CONN_MAX_AGE": None}, {"OPTIONS": {"pool": True}}])
def test_connections_that_are_kept_want_nothing(kept: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for alias in ALIASES:
        for name, value in kept.items():
            monkeypatch.setitem(connections[alias].settings_dict, name, value)

    assert check_connections(None) == []


@pytest.mark.parametrize(
    ("options", "wanted"),
    [({}, ["pollable.W046"]), ({"socket_timeout": 1}, ["pollable.W046"]), (TIMEOUTS, [])],
)
def test_a_redis_that_may_hang_is_advised_against(options: dict[str, float], wanted: list[str]) -> None:
    backend = "django.core.cache.backends.redis.RedisCache"
    with override_settings(CACHES={"default": {"BACKEND": backend, "LOCATION": "redis://", "OPTIONS": options}}):
        assert [advice.id for advice in check_cache(None)] == wanted


def test_a_cache_of_the_process_does_not_hang() -> None:
    with override_settings(CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}):
        assert check_cache(None) == []


@pytest.mark.parametrize(
    ("is_atomic", "middleware", "wanted"),
    [(True, [], ["pollable.W047"]), (True, [OUTAGES], []), (False, [], [])],
)
def test_an_outage_before_the_view_wants_its_middleware(
    is_atomic: bool, middleware: list[str], wanted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections["archive"].settings_dict, "ATOMIC_REQUESTS", is_atomic)

    with override_settings(MIDDLEWARE=middleware):
        assert [advice.id for advice in check_outages(None)] == wanted


@pytest.mark.parametrize(
    ("saves", "middleware", "wanted"),
    [(True, [SESSIONS], ["pollable.W048"]), (True, [], []), (False, [SESSIONS], [])],
)
def test_sessions_that_each_poll_writes_are_advised_against(
    saves: bool, middleware: list[str], wanted: list[str]
) -> None:
    with override_settings(SESSION_SAVE_EVERY_REQUEST=saves, MIDDLEWARE=middleware):
        assert [advice.id for advice in check_sessions(None)] == wanted


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("saves", "queries", "control"), [(False, 1, "public, max-age=1"), (True, 5, "private, max-age=0")]
)
def test_what_a_session_costs_a_public_poll(
    saves: bool, queries: int, control: str, client: Client, alice: User, django_assert_num_queries: Any
) -> None:
    """The reason for W048."""
    client.force_login(alice)
    with override_settings(SESSION_SAVE_EVERY_REQUEST=saves, MIDDLEWARE=[SESSIONS]):
        tag = client.get("/open/all/items/")["ETag"]
        with django_assert_num_queries(queries):
            answer = client.get("/open/all/items/", headers={"If-None-Match": tag})

    assert answer.status_code == 304
    assert ("sessionid" in answer.cookies, answer["Cache-Control"]) == (saves, control)
