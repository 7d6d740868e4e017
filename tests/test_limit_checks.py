"""System checks of limits and of the caches that count."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings
from rest_framework.settings import api_settings
from rest_framework.throttling import UserRateThrottle
from rest_framework.views import APIView

from django_pollable.checks import limits as limit_checks
from django_pollable.pacing import AdaptiveInterval
from django_pollable.throttling import PollableThrottle
from tests.shop.views import OpenItems

BACKENDS = "django.core.cache.backends"


class Limited(APIView):
    throttle_classes = [UserRateThrottle, PollableThrottle]
    throttle_scope: str | None = "polls"


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({}, ["pollable.E040"]),
        ({"polls": "5 a minute"}, ["pollable.E040"]),
        ({"polls": ("5/m", 7)}, ["pollable.E040"]),
        ({"polls": "5/m"}, []),
        ({"polls": None}, []),
    ],
)
def test_a_scope_needs_a_rate_that_can_be(
    rates: dict[str, Any], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_settings, "DEFAULT_THROTTLE_RATES", rates)

    assert [message.id for message in limit_checks._check_throttles(Limited)] == expected


def test_a_view_without_a_scope_is_not_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limited, "throttle_scope", None)

    assert list(limit_checks._check_throttles(Limited)) == []


@pytest.mark.parametrize(
    ("interval", "spread", "expected"),
    [
        (None, 0, []),
        (60, 60, []),
        (60, 5, ["pollable.W043"]),
        (AdaptiveInterval(minimum=5, maximum=60), 5, ["pollable.W043"]),
        (max, 5, []),
    ],
)
def test_the_spread_is_no_shorter_than_a_views_interval(interval: Any, spread: float, expected: list[str]) -> None:
    view = type("Slow", (OpenItems,), {"poll_interval_seconds": interval})

    with override_settings(POLLABLE_RETRY_AFTER_SPREAD_SECONDS=spread):
        assert [message.id for message in limit_checks._check_spread(view)] == expected


@pytest.mark.parametrize(
    ("cache", "expected"),
    [
        ({"BACKEND": f"{BACKENDS}.locmem.LocMemCache"}, ["pollable.W041"]),
        ({"BACKEND": f"{BACKENDS}.dummy.DummyCache"}, ["pollable.W041"]),
        ({"BACKEND": f"{BACKENDS}.db.DatabaseCache", "LOCATION": "x"}, ["pollable.W042"]),
        ({"BACKEND": f"{BACKENDS}.db.DatabaseCache", "LOCATION": "x", "OPTIONS": {"MAX_ENTRIES": 10**6}}, []),
        ({"BACKEND": f"{BACKENDS}.redis.RedisCache", "LOCATION": "redis://localhost"}, []),
    ],
)
def test_caches_are_shared_and_keep_enough(cache: dict[str, Any], expected: list[str]) -> None:
    with override_settings(CACHES={"default": cache}):
        assert [message.id for message in limit_checks.check_caches(None)] == expected


def test_both_caches_are_looked_at() -> None:
    caches = {alias: {"BACKEND": f"{BACKENDS}.dummy.DummyCache"} for alias in ("default", "counts", "unused")}

    with override_settings(CACHES=caches, RATELIMIT_USE_CACHE="counts"):
        assert len(limit_checks.check_caches(None)) == 2
