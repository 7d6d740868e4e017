"""
The tests' settings on a database of the chaos' own, with a retention of a second.

`POLLABLE_CHAOS_RATE` limits each client, `POLLABLE_CHAOS_FAIL_OPEN=0` refuses all where the cache is down,
`POLLABLE_CHAOS_ATOMIC=1` has a transaction around each view.
"""

import os

import dj_database_url

from tests.settings import *  # noqa: F403

DATABASES = {"default": dj_database_url.parse(os.environ["DATABASE_URL"], conn_max_age=60)}
if "sqlite" in DATABASES["default"]["ENGINE"]:
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL",
    }
DATABASES["default"]["ATOMIC_REQUESTS"] = os.environ.get("POLLABLE_CHAOS_ATOMIC") == "1"
DATABASE_ROUTERS: list[str] = []
MIDDLEWARE = ["django_pollable.middleware.OutageMiddleware", *MIDDLEWARE]  # noqa: F405
if "POLLABLE_CHAOS_RATE" in os.environ:
    REST_FRAMEWORK["DEFAULT_THROTTLE_CLASSES"] = ["tests.chaos.throttling.ChaosThrottle"]  # noqa: F405
    REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"] = {"chaos": os.environ["POLLABLE_CHAOS_RATE"]}  # noqa: F405
POLLABLE_RATELIMIT_FAIL_OPEN = os.environ.get("POLLABLE_CHAOS_FAIL_OPEN", "1") == "1"
POLLABLE_RETRY_AFTER_SPREAD_SECONDS = 1
POLLABLE_RETENTION_SECONDS = 1
