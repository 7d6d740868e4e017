"""A database of the benchmarks' own, which other processes may use, too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import django


@contextmanager
def own_database() -> Iterator[str]:
    """Make a database beside the one of `DATABASE_URL`, give its URL, and drop it."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.benchmarks.settings"
    django.setup()
    from django.db import connection
    from django.test.utils import setup_databases, teardown_databases

    databases = setup_databases(verbosity=0, interactive=False)
    server, _, name = os.environ["DATABASE_URL"].rpartition("/")
    try:
        yield f"{server}/{name if connection.vendor == 'sqlite' else connection.settings_dict['NAME']}"
    finally:
        teardown_databases(databases, verbosity=0)


def use_database() -> None:
    """Use the database of `DATABASE_URL`, which another process has made."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.benchmarks.settings"
    django.setup()
