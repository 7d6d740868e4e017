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
from django_pollable.limits import Limit, client_address, client_key, count, excess, fields, forgive_unchanged
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


def test_users_are_counted_wherever_they_are() -> None:
    key = client_key("user", ask(User(pk=7), REMOTE_ADDR="192.0.2.1"))

    assert key == client_key("user", ask(User(pk=7), REMOTE_ADDR="192.0.2.2"))
    assert key != client_key("user", ask(User(pk=8), REMOTE_ADDR="192.0.2.1"))
    assert client_key("user", ask(REMOTE_ADDR="192.0.2.1")) == client_key("ip", ask(REMOTE_ADDR="192.0.2.1"))


def test_only_tokens_that_were_accepted_are_counted() -> None:
    accepted, made_up = ask(User(pk=7)), ask(HTTP_AUTHORIZATION="Token made-up")
    accepted.auth = "secret"

    assert client_key("token", accepted).startswith("token:")
    assert "secret" not in client_key("token", accepted)
    assert client_key("token", made_up) == client_key("ip", made_up)


def test_a_function_can_name_the_bucket() -> None:
    assert client_key(lambda request: request.META["REMOTE_ADDR"][:3], ask(REMOTE_ADDR="192.0.2.1")) == "own:192"


@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded", "address"),
    [
        (0, "192.0.2.1", "198.51.100.1", "192.0.2.1"),
        (1, "10.0.0.1", "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        (2, "10.0.0.1", "203.0.113.9, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        (2, "10.0.0.1", "198.51.100.1", "198.51.100.1"),
        (1, "10.0.0.1", "", "10.0.0.1"),
        (1, "", "198.51.100.1", "198.51.100.1"),
        (1, "10.0.0.1", "unknown", "unknown"),
        (0, "2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::/64"),
        (0, "::ffff:192.0.2.1", "", "192.0.2.1"),
        (1, "10.0.0.1", "[2001:db8::1]", "2001:db8::/64"),
    ],
)
def test_an_address_is_what_a_trusted_proxy_says(proxies: int, peer: str, forwarded: str, address: str) -> None:
    with override_settings(POLLABLE_NUM_PROXIES=proxies):
        assert client_address(ask(REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=forwarded)) == address


def test_a_request_without_an_address_is_a_mistake_of_the_project() -> None:
    with pytest.raises(ImproperlyConfigured, match="POLLABLE_NUM_PROXIES"):
        client_address(ask(REMOTE_ADDR=""))


def test_other_methods_are_not_counted() -> None:
    limit = Limit("ip", "1/h", methods=("POST",))

    assert count(ask(), [limit], group="test") == ()
    assert len(count(requests.post("/"), [limit], group="test")) == 1


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


@pytest.mark.django_db
def test_a_database_cache_counts_too() -> None:
    from django.core.management import call_command

    table = {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "test_cache"}
    with override_settings(CACHES={"default": table}):
        call_command("createcachetable", verbosity=0)
        assert use(Limit("ip", "2/h"), 3).is_exceeded


def test_eight_processes_together_pass_no_more_than_the_limit(redis: Redis) -> None:
    command = [sys.executable, "-m", "tests.hammer", "200", "50/h"]
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
