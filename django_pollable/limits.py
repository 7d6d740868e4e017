"""Quotas: who asked how often. django-ratelimit counts, and only here."""

from __future__ import annotations

import functools
import math
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django_ratelimit import ALL
from django_ratelimit.core import get_usage

from django_pollable.buckets import KEYS, Key, client_key, is_authenticated
from django_pollable.caches import attempt
from django_pollable.conf import conf
from django_pollable.exceptions import QuotaExceeded
from django_pollable.overload import reduced_capacity
from django_pollable.pacing import retry_after

__all__ = ["Limit"]

_PERIODS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RATE = re.compile(r"(\d+)/(\d*)([smhd])")
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_FAILED: dict[str, Any] = {"count": 0, "limit": 0, "should_limit": True, "time_left": -1}
"""What django-ratelimit says of a cache that does not count."""

_CEILING = 10

_USAGES = "pollable.usages"
"""Where a request's `META` keeps what it has used, until it is known whether the answer is a 304."""


@functools.cache
def parse_rate(rate: str) -> tuple[int, int]:
    """
    Return the quota (requests) and the window (seconds) of a rate like `100/m` or `5/10s`.

    Raises:
        ImproperlyConfigured: it is no rate.
    """
    found = _RATE.fullmatch(rate) if isinstance(rate, str) else None
    window = int(found[2] or 1) * _PERIODS[found[3]] if found else 0
    if found is None or window == 0:
        raise ImproperlyConfigured(f"{rate!r} is no rate: write one like '100/m' or '5/10s' (s, m, h, d).")
    return int(found[1]), window


@dataclass(frozen=True, slots=True)
class Limit:
    """
    A quota for each client, in windows of fixed length.

    Attributes:
        key: what names a client; where there is no user or token it is the address.
        rate: `100/m`, `5/10s`.
        name: of the policy, as `RateLimit` fields tell it; by default made of the rate.
        methods: those that count; None: all. A limit of GET counts HEAD, which does the same work.
        unchanged_cost: what a 304 for an authenticated client counts, from 0 to 1.
        ceiling: how many requests pass in a window whatever they count; ten quotas by default.

    Raises:
        ImproperlyConfigured: a value that cannot be.
    """

    key: Key
    rate: str
    name: str = ""
    methods: tuple[str, ...] | None = None
    unchanged_cost: float = 1.0
    ceiling: int | None = None

    def __post_init__(self) -> None:
        quota, _ = parse_rate(self.rate)
        if not (callable(self.key) or self.key in KEYS):
            raise ImproperlyConfigured(f"A key is a function of the request or one of {KEYS}, not {self.key!r}.")
        if not 0 <= self.unchanged_cost <= 1:
            raise ImproperlyConfigured(f"`unchanged_cost` is from 0 to 1, not {self.unchanged_cost!r}.")
        if self.name and not _NAME.fullmatch(self.name):
            raise ImproperlyConfigured(f"The name of a limit has letters, digits, '_', '.', '-', not {self.name!r}.")
        if self.ceiling is not None and self.ceiling < quota:
            raise ImproperlyConfigured(f"A ceiling of {self.ceiling} is below the quota of {self.rate}.")

    @property
    def policy(self) -> str:
        """Return the policy's name."""
        return self.name or "{}-in-{}".format(*parse_rate(self.rate))

    @property
    def counted_methods(self) -> tuple[str, ...]:
        """Return the methods that count, as django-ratelimit takes them."""
        if self.methods is None:
            return ALL  # type: ignore[no-any-return]
        named = {method.upper() for method in self.methods}
        return tuple(sorted(named | ({"HEAD"} if "GET" in named else set())))


@dataclass(frozen=True, slots=True)
class Usage:
    """What a client has used of a quota in the current window, this request included."""

    limit: Limit
    group: str
    client: str
    count: int
    unchanged: int
    seconds_left: int
    """Until the next window is open."""
    is_cheap: bool
    """Whether a 304 costs less."""

    @property
    def quota(self) -> int:
        """Return how many requests a window has."""
        return parse_rate(self.limit.rate)[0]

    @property
    def used(self) -> float:
        """Return what the requests of this window count."""
        return max(0, round(self.count - self.unchanged * (1 - self.limit.unchanged_cost), 6))

    @property
    def remaining(self) -> int:
        """Return how many more requests pass."""
        return max(0, math.floor(self._left))

    @property
    def is_exceeded(self) -> bool:
        """Return whether this request is one too many."""
        return self._left < 0

    @property
    def _left(self) -> float:
        ceiling = self.limit.ceiling or self.quota * _CEILING
        return min(self.quota - self.used, ceiling - self.count) if self.is_cheap else self.quota - self.used


def count(request: Any, limits: Iterable[Limit], *, group: str) -> tuple[Usage, ...]:
    """
    Count `request`, of Django or of REST framework after authentication, and return all that it has been counted for.

    A limit of other methods, or one that django-ratelimit's settings switch off, is left out.

    Raises:
        ReducedCapacity: the cache is down, and `POLLABLE_RATELIMIT_FAIL_OPEN` is False.
    """
    usages = [*usages_of(request)]
    for limit in limits if conf.ratelimit_enabled else ():
        if not (limit.methods is None or request.method in limit.counted_methods):
            continue
        client = client_key(limit.key, request)
        is_cheap = limit.unchanged_cost < 1 and is_authenticated(request)
        # Read first: at the edge of a window it is then too many, which refuses nobody.
        unchanged = _get_usage(request, limit, _unchanged(group), client, increment=False) if is_cheap else None
        found = _get_usage(request, limit, group, client, increment=True)
        if found == _FAILED:
            if not conf.ratelimit_fail_open:
                raise reduced_capacity("Requests cannot be counted.")
            continue
        free = unchanged["count"] if unchanged else 0
        seconds_left = max(found["time_left"], 0) + 1  # a window is open to the end of its last second
        usages.append(Usage(limit, group, client, found["count"], free, seconds_left, is_cheap))
    request.META[_USAGES] = tuple(usages)
    return tuple(usages)


def usages_of(request: Any) -> tuple[Usage, ...]:
    """Return all that `request` has been counted for, and that is not forgiven."""
    usages: tuple[Usage, ...] = request.META.get(_USAGES, ())
    return usages


def forgive_unchanged(request: Any) -> None:
    """Note, once, that the request gets a 304, where that costs less."""
    for usage in request.META.pop(_USAGES, ()):
        if usage.is_cheap:
            _get_usage(request, usage.limit, _unchanged(usage.group), usage.client, increment=True)


def excess(usages: Sequence[Usage]) -> QuotaExceeded | None:
    """Return the error of a request for which some quota is used up, or None."""
    exceeded = [usage for usage in usages if usage.is_exceeded]
    if not exceeded:
        return None
    seconds = max(usage.seconds_left for usage in exceeded)
    return QuotaExceeded(
        "Too many requests.",
        retry_after=retry_after(seconds, spread=conf.retry_after_spread_seconds),
        policies=tuple(usage.limit.policy for usage in exceeded),
        fields=fields(usages),
    )


def fields(usages: Sequence[Usage]) -> dict[str, str]:
    """
    Return the header fields that tell quotas: none, `RateLimit` and its policy, or `X-RateLimit-*` of the tightest.

    Source: draft-ietf-httpapi-ratelimit-headers-10.
    """
    if not usages or not conf.ratelimit_headers:
        return {}
    if conf.ratelimit_headers == "X-RateLimit":
        tightest = min(usages, key=lambda usage: (usage.remaining, -usage.seconds_left))
        return {
            "X-RateLimit-Limit": str(tightest.quota),
            "X-RateLimit-Remaining": str(tightest.remaining),
            "X-RateLimit-Reset": str(int(time.time()) + tightest.seconds_left),
        }
    return {
        "RateLimit-Policy": ", ".join(
            f'"{usage.limit.policy}";q={usage.quota};w={parse_rate(usage.limit.rate)[1]}' for usage in usages
        ),
        "RateLimit": ", ".join(
            f'"{usage.limit.policy}";r={usage.remaining};t={usage.seconds_left}' for usage in usages
        ),
    }


def _get_usage(request: Any, limit: Limit, group: str, client: str, *, increment: bool) -> dict[str, Any]:
    """Return what django-ratelimit says; `_FAILED` where its cache is down."""

    def ask() -> dict[str, Any]:
        usage: dict[str, Any] | None = get_usage(
            request,
            group=group,
            key=lambda *_: client,
            rate=parse_rate(limit.rate),
            method=limit.counted_methods,
            increment=increment,
        )
        return usage or _FAILED  # None: RATELIMIT_FAIL_OPEN, where ours decides

    return attempt(ask, otherwise=_FAILED)


def _unchanged(group: str) -> str:
    return f"{group}:unchanged"
