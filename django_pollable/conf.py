"""The settings of django_pollable, read at the time of their first use."""

from __future__ import annotations

from typing import Any, TypeVar

from django.conf import settings
from django.core.signals import setting_changed
from django.utils.crypto import salted_hmac

T = TypeVar("T")


class PollableSettings:
    """Each property is the Django setting `POLLABLE_<NAME>`, or its default."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    @property
    def page_size(self) -> int:
        """Items and removals of a page when the request has no `limit` (rows, default 100)."""
        return self._get("PAGE_SIZE", 100)

    @property
    def max_page_size(self) -> int:
        """The largest `limit`; a larger one is coerced down (rows, default 1000)."""
        return self._get("MAX_PAGE_SIZE", 1000)

    @property
    def poll_interval_seconds(self) -> float:
        """What `X-Poll-Interval` tells clients to wait (seconds, default 5)."""
        return self._get("POLL_INTERVAL_SECONDS", 5.0)

    @property
    def retention_seconds(self) -> float:
        """How long changes and tombstones are kept (seconds, default 30 days)."""
        return self._get("RETENTION_SECONDS", 30 * 24 * 3600.0)

    @property
    def settle_batch(self) -> int:
        """How many pending changes one poll numbers at the most (rows, default 1000)."""
        return self._get("SETTLE_BATCH", 1000)

    @property
    def problem_base_uri(self) -> str:
        """What problem types begin with (default `urn:pollable:problem:`)."""
        return self._get("PROBLEM_BASE_URI", "urn:pollable:problem:")

    @property
    def head_max_age_seconds(self) -> float:
        """How old a process's own copy of a feed's head may be (seconds, default 0: none is kept)."""
        return self._get("HEAD_MAX_AGE_SECONDS", 0.0)

    @property
    def publish_seconds(self) -> int:
        """How often the head that public views show may advance (seconds, default 1; 0: at each poll)."""
        return self._get("PUBLISH_SECONDS", 1)

    @property
    def page_cache_seconds(self) -> int:
        """How long a rendered page is kept for other clients (seconds, default 60; 0: not at all)."""
        return self._get("PAGE_CACHE_SECONDS", 60)

    @property
    def page_cache_max_bytes(self) -> int:
        """The largest page that is kept (bytes, default 512 KiB)."""
        return self._get("PAGE_CACHE_MAX_BYTES", 512 * 1024)

    @property
    def cache_alias(self) -> str:
        """The cache that the processes share (default "default")."""
        return self._get("CACHE_ALIAS", "default")

    @property
    def retry_after_spread_seconds(self) -> float:
        """How far apart refused clients come back (seconds, default the poll interval)."""
        return self._get("RETRY_AFTER_SPREAD_SECONDS", self.poll_interval_seconds)

    @property
    def first_sync_slots(self) -> int | None:
        """How many first syncs one process serves at a time (default None: any number)."""
        return self._get("FIRST_SYNC_SLOTS", None)

    @property
    def ratelimit_fail_open(self) -> bool:
        """Whether requests pass where the cache that counts them is down (default True)."""
        return self._get("RATELIMIT_FAIL_OPEN", True)

    @property
    def ratelimit_headers(self) -> str | None:
        """How answers tell quotas: `RateLimit` (default), `X-RateLimit`, or None."""
        return self._get("RATELIMIT_HEADERS", "RateLimit")

    @property
    def ratelimit_enabled(self) -> bool:
        """Whether requests are counted at all: django-ratelimit's `RATELIMIT_ENABLE` (default True)."""
        return getattr(settings, "RATELIMIT_ENABLE", True)

    @property
    def ratelimit_cache_alias(self) -> str:
        """The cache that counts: django-ratelimit's `RATELIMIT_USE_CACHE` (default "default")."""
        return getattr(settings, "RATELIMIT_USE_CACHE", "default")

    @property
    def num_proxies(self) -> int:
        """How many trusted proxies add to `X-Forwarded-For` (default 0: the header counts for nothing)."""
        return self._get("NUM_PROXIES", 0)

    @property
    def ipv6_prefix_length(self) -> int:
        """How much of an IPv6 address names one client (bits, default 64)."""
        return self._get("IPV6_PREFIX_LENGTH", 64)

    @property
    def token_max_age_seconds(self) -> float:
        """How long a process remembers a token and its user (seconds, default 0: not at all)."""
        return self._get("TOKEN_MAX_AGE_SECONDS", 0.0)

    @property
    def namespace(self) -> str:
        """What tells this project's entries from those of others in one cache, which have another `SECRET_KEY`."""
        if "namespace" not in self._known:
            self._known["namespace"] = salted_hmac("django_pollable", "cache", algorithm="sha256").hexdigest()[:16]
        return str(self._known["namespace"])

    def _get(self, name: str, default: T) -> T:
        if name not in self._known:  # Django takes its time to find that a setting is not there
            self._known[name] = getattr(settings, f"POLLABLE_{name}", default)
        value: T = self._known[name]
        return value

    def forget(self, **kwargs: Any) -> None:
        """Read the settings anew: a test has changed one."""
        self._known.clear()

    @property
    def session_save_every_request(self) -> bool:
        """Whether each request writes its session: Django's `SESSION_SAVE_EVERY_REQUEST`."""
        return settings.SESSION_SAVE_EVERY_REQUEST

    def uses_middleware(self, path: str) -> bool:
        """Return whether the project has the middleware `path`."""
        return path in settings.MIDDLEWARE

    def is_installed(self, app: str) -> bool:
        """Return whether the project has the application `app`."""
        return app in settings.INSTALLED_APPS


conf = PollableSettings()
setting_changed.connect(conf.forget)
