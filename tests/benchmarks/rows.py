"""A table of so many rows, each with a recorded change: by SQL, as an existing table is adopted."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.core.management.color import no_style
from django.db import connection
from rest_framework.authtoken.models import Token

from django_pollable.ledger.options import feed_of
from django_pollable.ledger.tables import Change, Feed, Scope
from tests.benchmarks.models import Entry, Project
from tests.bulk import adopt, insert

TOKEN = "benchmark"
PROJECT = 1

MOMENT = {
    "postgresql": "timestamptz '2026-01-01 00:00:00Z' + n * interval '1 second'",
    "mysql": "DATE_ADD('2026-01-01', INTERVAL n SECOND)",
    "sqlite": "datetime('2026-01-01', '+' || n || ' seconds')",
}
"""Each row has an `updated_at` of its own, which is what peers need."""

TEXT = {"postgresql": "n::text", "mysql": "CAST(n AS char)", "sqlite": "CAST(n AS text)"}
STATISTICS = {"postgresql": ("VACUUM ANALYZE",), "mysql": (), "sqlite": ("ANALYZE",)}


def fill(size: int) -> None:
    """Make the table `size` rows large, each with a recorded change; it must not be larger already."""
    Project.objects.get_or_create(pk=PROJECT, defaults={"name": "many"})
    if not Token.objects.filter(key=TOKEN).exists():
        Token.objects.create(user=User.objects.create_user("user"), key=TOKEN)
    first = Entry.objects.count() + 1
    insert_entries(first=first, last=size)
    _record(first, size)
    with connection.cursor() as cursor:
        for statement in STATISTICS[connection.vendor]:
            cursor.execute(statement)


def insert_entries(*, first: int = 1, last: int) -> None:
    """Insert entries with these primary keys while there are no triggers, and install them afterwards."""
    vendor = connection.vendor
    columns = {
        "id": "n",
        "project_id": str(PROJECT),
        "title": "'a title of some length'",
        "code": TEXT[vendor],
        "status": "'new'",
        "count": "n",
        "price": "12.5",
        "data": "'{\"a\": 1}'",
        "created_at": MOMENT[vendor],
        "updated_at": MOMENT[vendor],
    }
    adopt(Entry._meta.db_table, columns, first=first, last=last)
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), [Entry]):
            cursor.execute(statement)


def _record(first: int, size: int) -> None:
    """Record a change of each row, as the triggers would have."""
    feed = feed_of(Entry)
    scope = feed.scope_of({"project": PROJECT}, connection)
    columns = {
        "feed_id": str(feed.id),
        "scope": f"'{scope}'",
        "key": TEXT[connection.vendor],
        "sequence": "n",
        "first_sequence": "n",
        "removed": "false" if connection.vendor == "postgresql" else "0",
        "changed_at": "0",
    }
    insert(Change._meta.db_table, columns, first=first, last=size)
    Feed.objects.filter(pk=feed.id).update(sequence=size)
    Scope.objects.update_or_create(feed_id=feed.id, name=scope, defaults={"sequence": size})
