"""Django's caches, any of which may be down: then an answer is another one, never an error."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.core.cache import BaseCache, caches
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.exceptions import ImproperlyConfigured

from django_pollable.conf import conf

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOG_SECONDS = 10.0

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
            logger.warning("a cache is down", exc_info=True)
        return otherwise
