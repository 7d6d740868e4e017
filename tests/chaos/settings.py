"""
The tests' settings on a database of the chaos' own, with a retention of a second.

`POLLABLE_CHAOS_RATE` limits each client, `POLLABLE_CHAOS_FAIL_OPEN=0` refuses all where the cache is down,
`POLLABLE_CHAOS_ATOMIC=1` has a transaction around each view. `POLLABLE_CHAOS_STANDBYS` are the URLs of
standbys, with spaces between, that are read instead. `POLLABLE_CHAOS_HEAD_SECONDS`, `POLLABLE_CHAOS_PUBLISH_SECONDS`
and `POLLABLE_CHAOS_PAGE_SECONDS` are how long heads and pages are remembered, `POLLABLE_CHAOS_CONN_MAX_AGE` is how
long connections are kept. `POLLABLE_CHAOS_METRICS=1` switches the metrics on.
"""

import os

import dj_database_url

from tests.settings import *  # noqa: F403

MAX_AGE = int(os.environ.get("POLLABLE_CHAOS_CONN_MAX_AGE", "60"))
DATABASES = {"default": dj_database_url.parse(os.environ["DATABASE_URL"], conn_max_age=MAX_AGE)}
if "sqlite" in DATABASES["default"]["ENGINE"]:
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL",
    }
for number, url in enumerate(os.environ.get("POLLABLE_CHAOS_STANDBYS", "").split()):
    DATABASES[f"standby{number}"] = dj_database_url.parse(url, conn_max_age=MAX_AGE)
DATABASE_ROUTERS = ["tests.routers.StandbyRouter"] if len(DATABASES) > 1 else []
for database in DATABASES.values():
    database["ATOMIC_REQUESTS"] = os.environ.get("POLLABLE_CHAOS_ATOMIC") == "1"
MIDDLEWARE = ["django_pollable.middleware.OutageMiddleware", *MIDDLEWARE]  # noqa: F405
if os.environ.get("POLLABLE_CHAOS_METRICS") == "1":
    MIDDLEWARE.insert(0, "django_pollable.metrics.MetricsMiddleware")
if "POLLABLE_CHAOS_RATE" in os.environ:
    REST_FRAMEWORK["DEFAULT_THROTTLE_CLASSES"] = ["tests.chaos.throttling.ChaosThrottle"]  # noqa: F405
    REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"] = {"chaos": os.environ["POLLABLE_CHAOS_RATE"]}  # noqa: F405
POLLABLE_RATELIMIT_FAIL_OPEN = os.environ.get("POLLABLE_CHAOS_FAIL_OPEN", "1") == "1"
POLLABLE_RETRY_AFTER_SPREAD_SECONDS = 1
POLLABLE_RETENTION_SECONDS = 1
POLLABLE_HEAD_MAX_AGE_SECONDS = float(os.environ.get("POLLABLE_CHAOS_HEAD_SECONDS", "0"))
POLLABLE_PUBLISH_SECONDS = int(os.environ.get("POLLABLE_CHAOS_PUBLISH_SECONDS", "0"))
POLLABLE_PAGE_CACHE_SECONDS = int(os.environ.get("POLLABLE_CHAOS_PAGE_SECONDS", "60"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "loggers": {"django.request": {"handlers": ["stderr"], "level": "ERROR"}},
}
