"""Checks of what each database sees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as Advice
from django.db import DatabaseError, connections

from django_pollable.ledger.options import feeds
from django_pollable.ledger.triggers import compare
from django_pollable.ledger.watches import watches


@register(Tags.database)
def check_triggers(app_configs: Any, databases: Iterable[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """W030, W031, E032, W033, W034: a database does not see every write. Only what `migrate` cannot mend stops it."""
    found: list[CheckMessage] = []
    for using in databases or ():
        try:
            difference = compare(using)
        except DatabaseError:
            continue  # no connection, or no tables yet: `migrate` says so
        wrong = {trigger.table for trigger in difference.missing} | {table for _, table in difference.stale}
        wrong |= {*difference.waiting, *difference.untrusted}
        if wrong:
            found.append(
                Advice(
                    f"Database '{using}' may not see every write to: {', '.join(sorted(wrong))}.",
                    hint="Run `manage.py migrate` and `manage.py pollable check`.",
                    id="pollable.W030",
                )
            )
        found += BLIND_SPOTS[connections[using].vendor](using)
    return found


def _tables(using: str) -> set[str]:
    """Return the tables whose writes the triggers in the database `using` should see."""
    mine = [feed for feed in feeds() if feed.is_on(using)]
    return {feed.model._meta.db_table for feed in mine} | {watch.table for feed in mine for watch in watches(feed)}


def _check_mysql(using: str) -> Iterator[CheckMessage]:
    yield from _check_cascades(using)
    yield from _check_on_delete(using)


def _check_postgresql(using: str) -> Iterator[CheckMessage]:
    """Statement-level triggers fire for the table that a statement names, and not for its partitions."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT p.relname FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent"
            " WHERE p.relkind IN ('r', 'p') AND p.relname = ANY(%s)",
            [list(_tables(using))],
        )
        parents = sorted(name for (name,) in cursor.fetchall())
    for table in parents:
        yield Advice(
            f"{table} has partitions: a write that names one of them fires no triggers.",
            hint=f"Write to {table} itself.",
            id="pollable.W033",
        )


def _check_sqlite(using: str) -> Iterator[CheckMessage]:
    """With triggers of the project's own, `recursive_triggers` stays off."""
    with connections[using].cursor() as cursor:
        cursor.execute("PRAGMA recursive_triggers")
        (is_on,) = cursor.fetchone()
    if not is_on:
        yield Advice(
            f"Database '{using}' hides from triggers what REPLACE removes by another unique key.",
            hint="Write `INSERT ... ON CONFLICT` instead, or set `PRAGMA recursive_triggers = ON` in `init_command`.",
            id="pollable.W034",
        )


def _check_cascades(using: str) -> Iterator[CheckMessage]:
    """MariaDB and MySQL fire no triggers for what a foreign key does by itself."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT table_name, constraint_name FROM information_schema.referential_constraints"
            " WHERE constraint_schema = DATABASE()"
            " AND (delete_rule IN ('CASCADE', 'SET NULL') OR update_rule IN ('CASCADE', 'SET NULL'))"
        )
        rules = cursor.fetchall()
    for table, constraint in rules:
        if table in _tables(using):
            yield Advice(
                f"The foreign key {constraint} of {table} deletes or changes rows without firing triggers.",
                hint="Use `on_delete=models.CASCADE` or `SET_NULL`, which Django carries out itself.",
                id="pollable.W031",
            )


def _check_on_delete(using: str) -> Iterator[CheckMessage]:
    """The same as the models declare it: Django 6.1's `DB_CASCADE` and `DB_SET_NULL`."""
    for feed in feeds():
        tables = {feed.model._meta.db_table, *(watch.table for watch in watches(feed))} if feed.is_on(using) else set()
        for model in apps.get_models(include_auto_created=True):
            for field in model._meta.local_fields if model._meta.db_table in tables else ():
                on_delete = getattr(field.remote_field, "on_delete", None)
                if type(on_delete).__name__ == "DatabaseOnDelete":
                    yield Error(
                        f"{field} is deleted by the database, which fires no triggers for it.",
                        hint="Use `on_delete=models.CASCADE` or `SET_NULL`, which Django carries out itself.",
                        obj=field,
                        id="pollable.E032",
                    )


BLIND_SPOTS = {"mysql": _check_mysql, "postgresql": _check_postgresql, "sqlite": _check_sqlite}
