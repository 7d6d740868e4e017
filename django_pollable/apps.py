"""The application: it keeps the triggers as the models say."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from django.apps import AppConfig
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate, pre_migrate


class PollableConfig(AppConfig):
    name = "django_pollable"
    label = "pollable"
    verbose_name = "Pollable"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_pollable.checks import databases, deployment, limits, metrics, models, settings, views  # noqa: F401
        from django_pollable.conf import conf

        if conf.uses_middleware(metrics.MIDDLEWARE) and find_spec("prometheus_client"):
            import_module("django_pollable.metrics")  # also where no server loads middleware, as in `settle --forever`

        connection_created.connect(_fire_delete_triggers_of_replaced_rows, dispatch_uid="pollable")
        pre_migrate.connect(_drop_triggers_in_the_way, sender=self, dispatch_uid="pollable")
        post_migrate.connect(_install_triggers, sender=self, dispatch_uid="pollable")


def _fire_delete_triggers_of_replaced_rows(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """
    SQLite's REPLACE fires no delete trigger for a row that it removes by another unique key, unless told to.

    A project's own triggers might then fire themselves without end: with any of those it stays as it is.
    """
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND name NOT GLOB 'pollable_*' LIMIT 1")
            if cursor.fetchone() is None:
                cursor.execute("PRAGMA recursive_triggers = ON")


def _drop_triggers_in_the_way(plan: Any, apps: Any, using: str = DEFAULT_DB_ALIAS, **kwargs: Any) -> None:
    """
    Drop the triggers that a migration would break or be broken by.

    SQLite refuses to remake a table that any trigger names; elsewhere a trigger that names a column
    which is gone makes every write fail. The feeds concerned get a new epoch by `install`.
    """
    from django_pollable.ledger.triggers import drop
    from django_pollable.ledger.triggers.plans import tables_in_the_way

    if not plan:
        return
    is_ledger_undone = any(is_undone and migration.app_label == PollableConfig.label for migration, is_undone in plan)
    if is_ledger_undone or connections[using].vendor == "sqlite":
        drop(using)
    elif tables := tables_in_the_way(plan, apps):
        drop(using, tables)


def _install_triggers(using: str = DEFAULT_DB_ALIAS, **kwargs: Any) -> None:
    from django_pollable.ledger.triggers import install

    install(using)
