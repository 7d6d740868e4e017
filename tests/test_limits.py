"""Who is counted, what is used, and what a client is told of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.test import RequestFactory, override_settings

from django_pollable import limits
from django_pollable.exceptions import QuotaExceeded, ReducedCapacity
from django_pollable.limits import Limit, count, excess, fields, forgive_unchanged
from tests.services import Redis

requests = RequestFactory()


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    cache.clear()


def ask(user: Any = None, **meta: str) -> Any:
    request = requests.get("/", **meta)
    request.user = user or AnonymousUser()
    return request


def use(limit: Limit, times: int, **meta: str) -> Any:
    """Return the last usage of that many requests."""
    return [count(ask(**meta), [limit], group="test")[0] for _ in range(times)][-1]


@pytest.mark.parametrize("rate", ["", "5", "5/x", "5/0s", "x/m", "5/m/s", "-1/m", 5, None])
def test_what_is_no_rate_is_refused_at_once(rate: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="no rate"):
        Limit("ip", rate)


@pytest.mark.parametrize(
    "values", [{"key": "header:x"}, {"unchanged_cost": 2}, {"name": 'a"b'}, {"ceiling": 1}, {"unchanged_cost": -1}]
)
def test_a_limit_that_cannot_be_is_refused_at_once(values: dict[str, Any]) -> None:
    with pytest.raises(ImproperlyConfigured):
        Limit(**{"key": "ip", "rate": "2/m"} | values)


def test_the_request_after_the_last_is_one_too_many() -> None:
    limit = Limit("ip", "3/h")

    assert [excess([use(limit, 1)]) is None for _ in range(4)] == [True, True, True, False]


def test_addresses_have_buckets_of_their_own() -> None:
    limit = Limit("ip", "1/h")
    use(limit, 5, REMOTE_ADDR="192.0.2.1")

    assert use(limit, 1, REMOTE_ADDR="192.0.2.2").count == 1


@pytest.mark.parametrize("rate", ["5/s", "5/m", "5/10s", "5/h"])
def test_who_waits_as_long_as_he_is_told_is_admitted(rate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """300 of 300, from any moment of a window: `time_left` alone would be refused each time."""
    now = [1_700_000_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    limit, admitted = Limit("ip", rate), 0

    with override_settings(POLLABLE_RETRY_AFTER_SPREAD_SECONDS=0):
        for turn in range(300):
            now[0] += 0.37 * turn
            error = None
            while error is None:
                error = excess([use(limit, 1)])
            now[0] += error.retry_after
            admitted += excess([use(limit, 1)]) is None

    assert admitted == 300


def test_the_told_wait_is_spread_over_the_poll_interval() -> None:
    usage = use(Limit("ip", "1/h"), 2)
    told = {error.retry_after for _ in range(1000) if (error := excess([usage]))}

    assert max(told) - min(told) == 5


def test_other_methods_are_not_counted() -> None:
    limit = Limit("ip", "1/h", methods=("post",))

    assert count(ask(), [limit], group="test") == ()
    assert len(count(requests.post("/"), [limit], group="test")) == 1


def test_head_is_no_way_around_a_limit_of_get() -> None:
    limit = Limit("ip", "1/h", methods=("GET",))

    assert excess(count(requests.get("/"), [limit], group="test")) is None
    assert excess(count(requests.head("/"), [limit], group="test"))


def test_limits_of_one_rate_count_a_stranger_once_each() -> None:
    """Where there is no user both go by the address."""
    both = [Limit("user", "2/h"), Limit("ip", "2/h")]

    assert [excess(count(ask(), both, group="test")) is None for _ in range(3)] == [True, True, False]


def test_an_unchanged_answer_costs_less_up_to_the_ceiling() -> None:
    limit, user = Limit("user", "10/h", unchanged_cost=0.25, ceiling=30), User(pk=1)
    used = []
    for _ in range(31):
        request = ask(user)
        (usage,) = count(request, [limit], group="test")
        forgive_unchanged(request)
        used.append((usage.used, usage.is_exceeded))

    assert used[0] == (1, False)
    assert used[29] == (30 - 29 * 0.75, False)
    assert used[30][1]


def test_at_the_ceiling_nothing_remains() -> None:
    limit, user = Limit("user", "10/h", unchanged_cost=0, ceiling=10), User(pk=1)
    for _ in range(10):
        request = ask(user)
        (usage,) = count(request, [limit], group="test")
        forgive_unchanged(request)

    assert (usage.used, usage.remaining, usage.is_exceeded) == (1, 0, False)


def test_tenths_add_up() -> None:
    limit, user = Limit("user", "3/h", unchanged_cost=0.1, ceiling=40), User(pk=1)
    passed = 0
    for _ in range(40):
        request = ask(user)
        passed += excess(count(request, [limit], group="test")) is None
        forgive_unchanged(request)

    assert passed == 21


def test_an_unchanged_answer_costs_a_stranger_as_much_as_any() -> None:
    limit = Limit("ip", "2/h", unchanged_cost=0)
    for _ in range(2):
        request = ask()
        count(request, [limit], group="test")
        forgive_unchanged(request)

    assert use(limit, 1).is_exceeded


def test_an_answer_is_forgiven_once() -> None:
    limit, request = Limit("user", "10/h", unchanged_cost=0), ask(User(pk=1))
    count(request, [limit], group="test")
    forgive_unchanged(request)
    forgive_unchanged(request)

    (usage,) = count(ask(User(pk=1)), [limit], group="test")
    assert (usage.count, usage.unchanged) == (2, 1)


def test_quotas_are_told_in_the_syntax_of_the_draft() -> None:
    usages = [use(Limit("ip", "3/10s", name="burst"), 2), use(Limit("ip", "100/h"), 1)]
    told = fields(usages)

    assert told["RateLimit-Policy"] == '"burst";q=3;w=10, "100-in-3600";q=100;w=3600'
    burst, hour = (f"t={usage.seconds_left}" for usage in usages)
    assert told["RateLimit"] == f'"burst";r=1;{burst}, "100-in-3600";r=99;{hour}'


def test_quotas_are_told_the_old_way_or_not_at_all() -> None:
    usages = [use(Limit("ip", "3/10s"), 2), use(Limit("ip", "100/h"), 1)]

    with override_settings(POLLABLE_RATELIMIT_HEADERS="X-RateLimit"):
        told = fields(usages)
        assert (told["X-RateLimit-Limit"], told["X-RateLimit-Remaining"]) == ("3", "1")
        assert int(told["X-RateLimit-Reset"]) == pytest.approx(time.time() + usages[0].seconds_left, abs=2)
    with override_settings(POLLABLE_RATELIMIT_HEADERS=None):
        assert fields(usages) == {}


def test_a_refusal_names_the_policies_it_violates() -> None:
    error = excess([use(Limit("ip", "1/h", name="one"), 2), use(Limit("ip", "100/h", name="many"), 1)])

    assert isinstance(error, QuotaExceeded)
    assert error.members == {"violated-policies": ["one"]}
    assert {"Retry-After", "RateLimit", "RateLimit-Policy"} <= error.headers.keys()


@override_settings(CACHES={"default": {"BACKEND": "tests.down.DownCache"}})
def test_a_cache_that_is_down_lets_requests_pass_or_not_as_the_setting_says() -> None:
    limit = Limit("user", "1/h", unchanged_cost=0)

    assert count(ask(User(pk=1)), [limit], group="test") == ()
    with override_settings(POLLABLE_RATELIMIT_FAIL_OPEN=False), pytest.raises(ReducedCapacity):
        count(ask(), [limit], group="test")


@override_settings(RATELIMIT_ENABLE=False)
def test_django_ratelimits_own_switch_is_kept() -> None:
    assert count(ask(), [Limit("ip", "1/h")], group="test") == ()


@override_settings(CACHES={"default": {"BACKEND": "tests.down.FrozenCache"}}, RATELIMIT_FAIL_OPEN=True)
def test_our_setting_decides_whatever_django_ratelimits_own_says() -> None:
    assert count(ask(), [Limit("ip", "1/h")], group="test") == ()
    with override_settings(POLLABLE_RATELIMIT_FAIL_OPEN=False), pytest.raises(ReducedCapacity):
        count(ask(), [Limit("ip", "1/h")], group="test")


@override_settings(RATELIMIT_USE_CACHE="unheard-of")
def test_a_cache_that_does_not_exist_is_a_mistake_of_the_project() -> None:
    with pytest.raises(ImproperlyConfigured, match="unheard-of"):
        count(ask(), [Limit("ip", "1/h")], group="test")


@pytest.mark.parametrize("rate", ["1/d", "1/30d"])
def test_a_window_of_days_is_told_in_seconds(rate: str) -> None:
    error = excess([use(Limit("ip", rate), 2)])

    assert error is not None
    assert 1 <= error.retry_after <= 30 * 86_400 + 6


@pytest.mark.django_db
def test_a_database_cache_counts_too() -> None:
    from django.core.management import call_command

    table = {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "test_cache"}
    with override_settings(CACHES={"default": table}):
        call_command("createcachetable", verbosity=0)
        assert use(Limit("ip", "2/h"), 3).is_exceeded


def test_eight_processes_together_pass_no_more_than_the_limit(redis: Redis) -> None:
    command = [sys.executable, "-m", "tests.hammer", "200", "50/d"]  # a window that hardly ever ends meanwhile
    environment = os.environ | {"CACHE_URL": redis.url}
    hammers = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(8)]

    assert sum(int(hammer.communicate(timeout=60)[0]) for hammer in hammers) == 50


def test_a_redis_that_is_gone_and_back_costs_no_answer(redis: Redis) -> None:
    limit = Limit("ip", "3/h")
    with override_settings(CACHES={"default": redis.cache}):
        assert use(limit, 2).count == 2
        redis.stop()
        assert count(ask(), [limit], group="test") == ()
        redis.start()
        assert limits.count(ask(), [limit], group="test")[0].count == 1
