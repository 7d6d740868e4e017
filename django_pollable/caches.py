"""Django's caches, any of which may be down: then an answer is another one, never an error."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from django.core.cache import BaseCache, caches
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.exceptions import ImproperlyConfigured

from django_pollable.conf import conf

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOG_SECONDS = 10.0

SLOW_SECONDS = 1.0
"""How long a cache may take to answer what can be done without it."""

REST_SECONDS = 5.0
"""How long it is left alone afterwards, and after a failure."""

_logged_at = float("-inf")


def shared_cache() -> BaseCache:
    """Return the cache that the processes of a project share."""
    return caches[conf.cache_alias]


def is_shared(cache: BaseCache) -> bool:
    """Return whether one process sees what another has put into `cache`."""
    return not isinstance(cache, LocMemCache | DummyCache)


def attempt(action: Callable[[], T], *, otherwise: T) -> T:
    """
    Return what `action` gets from a cache, or `otherwise` where the cache fails; logged now and then.

    Raises:
        ImproperlyConfigured: there is no such cache.
    """
    global _logged_at
    try:
        return action()
    except ImproperlyConfigured:
        raise
    except Exception:  # each cache's driver raises what it likes
        now = time.monotonic()
        if now - _logged_at >= LOG_SECONDS:
            _logged_at = now
            logger.warning("a cache is down", exc_info=True, extra={"pollable_event": "cache-outage"})
        return otherwise


class Rest:
    """A cache that failed, or answered slowly, is left alone for a while."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._over_at = float("-inf")

    def spare(self, action: Callable[[], T], *, otherwise: T) -> T:
        """Return `attempt(action)` of what can be done without, or `otherwise` at once where the cache rests."""
        began_at = self._clock()
        if began_at < self._over_at:
            return otherwise
        failed: Any = object()
        found = attempt(action, otherwise=failed)
        if found is failed or self._clock() - began_at > SLOW_SECONDS:
            self._over_at = self._clock() + REST_SECONDS
        return otherwise if found is failed else found


_rest = Rest()


def spare(action: Callable[[], T], *, otherwise: T) -> T:
    """
    Return what `action` gets from the shared cache, where that is only to save work, or `otherwise`.

    A cache that is down or slow costs one request in a while, and not each.
    """
    return _rest.spare(action, otherwise=otherwise)
