"""System checks of how polls reach their databases and their cache (`manage.py check --deploy`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.cache import caches
from django.core.cache.backends.redis import RedisCache
from django.core.checks import CheckMessage, register
from django.core.checks import Warning as Advice
from django.db import connections, router
from django.utils.module_loading import import_string

from django_pollable.conf import conf
from django_pollable.ledger.options import feeds

OUTAGES = "django_pollable.middleware.OutageMiddleware"
SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"


@register("pollable", deploy=True)
def check_replicas(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W044: polls read another database than is written, where they may number no changes."""
    names = sorted(feed.name for feed in feeds() if router.db_for_read(feed.model) != router.db_for_write(feed.model))
    if not names:
        return []
    return [
        Advice(
            f"Polls read another database than is written: {', '.join(names)}. On a standby they number no changes.",
            hint="Keep `manage.py pollable settle --forever` running, and silence this check.",
            id="pollable.W044",
        )
    ]


@register("pollable", deploy=True)
def check_connections(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W045: each poll connects anew, which costs more than all the rest of it."""
    return list(_check_connections())


def _check_connections() -> Iterator[CheckMessage]:
    for using in sorted({router.db_for_read(feed.model) for feed in feeds()}):
        settings = connections[using].settings_dict
        if (
            connections[using].vendor != "sqlite"
            and settings["CONN_MAX_AGE"] == 0
            and not settings["OPTIONS"].get("pool")
        ):
            yield Advice(
                f"Each poll connects to the database '{using}' anew.",
                hint="Set CONN_MAX_AGE and CONN_HEALTH_CHECKS, or the option 'pool' of psycopg.",
                id="pollable.W045",
            )


@register("pollable", deploy=True)
def check_cache(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W046: a Redis that hangs would hold polls up for seconds, or for ever."""
    settings = caches.settings[conf.cache_alias]
    timeouts = {"socket_timeout", "socket_connect_timeout"}
    if not issubclass(import_string(settings["BACKEND"]), RedisCache) or timeouts <= settings.get("OPTIONS", {}).keys():
        return []
    return [
        Advice(
            f"Polls wait for the cache '{conf.cache_alias}' for as long as its driver does.",
            hint="Set the options 'socket_timeout' and 'socket_connect_timeout' to a fraction of a second.",
            id="pollable.W046",
        )
    ]


@register("pollable", deploy=True)
def check_outages(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W047: Django begins a transaction before a view is called, and what fails there is a 500."""
    found = sorted(alias for alias in connections if connections[alias].settings_dict["ATOMIC_REQUESTS"])
    if not found or conf.uses_middleware(OUTAGES):
        return []
    return [
        Advice(
            f"Polls get 500 where a database with ATOMIC_REQUESTS cannot be reached: {', '.join(found)}.",
            hint=f"Put '{OUTAGES}' first in MIDDLEWARE: it answers 503 and `Retry-After`.",
            id="pollable.W047",
        )
    ]


@register("pollable", deploy=True)
def check_sessions(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """W048: each poll of a browser that has a session writes it, and a cookie makes public answers private."""
    if not (conf.session_save_every_request and conf.uses_middleware(SESSIONS)):
        return []
    return [
        Advice(
            "Each poll with a session writes the session and sets its cookie, which no cache may share.",
            hint="Set SESSION_SAVE_EVERY_REQUEST to False, and renew sessions where people act.",
            id="pollable.W048",
        )
    ]
