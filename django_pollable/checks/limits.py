"""System checks of limits, and of the caches that count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.cache import caches
from django.core.cache.backends.db import BaseDatabaseCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as Advice
from django.core.exceptions import ImproperlyConfigured
from django.urls import get_resolver

from django_pollable.caches import is_shared
from django_pollable.checks.views import views_of
from django_pollable.conf import conf
from django_pollable.mixins import PollableMixin
from django_pollable.pacing import AdaptiveInterval
from django_pollable.throttling import PollableThrottle

FEW_ENTRIES = 300
"""Django's default of how many entries a cache keeps."""


@register(Tags.urls)
def check_limited_views(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E040, W043: a throttle's scope has no rate that can be, or refused clients come back together."""
    found: list[CheckMessage] = []
    for view in dict.fromkeys(views_of(get_resolver().url_patterns)):
        found += [*_check_throttles(view), *_check_spread(view)]
    return found


@register(Tags.caches, deploy=True)
def check_caches(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W041, W042: a cache counts in each process by itself, or forgets."""
    found: list[CheckMessage] = []
    for alias in sorted({conf.cache_alias, conf.ratelimit_cache_alias} & caches.settings.keys()):
        found += _check_cache(alias)
    return found


def _check_throttles(view: type) -> Iterator[CheckMessage]:
    for throttle in getattr(view, "throttle_classes", ()):
        if isinstance(throttle, type) and issubclass(throttle, PollableThrottle):
            try:
                throttle().get_rates(view)
            except ImproperlyConfigured as error:
                yield Error(f"'{view.__name__}': {error}", obj=view, id="pollable.E040")


def _check_spread(view: type) -> Iterator[CheckMessage]:
    interval: Any = view.poll_interval_seconds if issubclass(view, PollableMixin) else None
    longest = interval.maximum if isinstance(interval, AdaptiveInterval) else interval
    if isinstance(longest, int | float) and longest > conf.retry_after_spread_seconds:
        yield Advice(
            f"Clients of '{view.__name__}' poll every {longest:g} s, but come back from a refusal within"
            f" {conf.retry_after_spread_seconds:g} s of each other.",
            hint=f"Set POLLABLE_RETRY_AFTER_SPREAD_SECONDS to at least {longest:g}.",
            obj=view,
            id="pollable.W043",
        )


def _check_cache(alias: str) -> Iterator[CheckMessage]:
    cache = caches[alias]
    if not is_shared(cache):
        yield Advice(
            f"Each process has a cache '{alias}' of its own ({type(cache).__name__}): with several processes"
            " a client has a quota in each, and no process sees a pause.",
            hint="Let RATELIMIT_USE_CACHE and POLLABLE_CACHE_ALIAS name a cache that they share, as Redis.",
            id="pollable.W041",
        )
    elif isinstance(cache, BaseDatabaseCache | FileBasedCache) and cache._max_entries <= FEW_ENTRIES:
        yield Advice(
            f"The cache '{alias}' keeps {cache._max_entries} entries: more clients than that it forgets.",
            hint="Raise MAX_ENTRIES in its OPTIONS.",
            id="pollable.W042",
        )
