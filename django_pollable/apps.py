"""The application: it keeps the triggers as the models say."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.migrations.operations import AddField, CreateModel, DeleteModel, RemoveField, RenameField
from django.db.models.signals import post_migrate, pre_migrate

REMOVALS = (DeleteModel, RemoveField, RenameField)
REVERSED = (CreateModel, AddField, RenameField)
"""What removes columns when it is undone."""


class PollableConfig(AppConfig):
    name = "django_pollable"
    label = "pollable"
    verbose_name = "Pollable"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_pollable import checks  # noqa: F401

        connection_created.connect(_fire_delete_triggers_of_replaced_rows, dispatch_uid="pollable")
        pre_migrate.connect(_drop_triggers_in_the_way, sender=self, dispatch_uid="pollable")
        post_migrate.connect(_install_triggers, sender=self, dispatch_uid="pollable")


def _fire_delete_triggers_of_replaced_rows(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """SQLite's REPLACE fires no delete trigger for a row that it removes by another unique key."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA recursive_triggers = ON")


def _drop_triggers_in_the_way(plan: Any, using: str = DEFAULT_DB_ALIAS, **kwargs: Any) -> None:
    """
    Drop the triggers that a migration would break or be broken by.

    SQLite refuses to remake a table that any trigger names; elsewhere a trigger that names a column
    which is gone makes every write fail. The feeds concerned get a new epoch by `install`.
    """
    from django_pollable.ledger.options import feeds, watches
    from django_pollable.ledger.triggers import drop

    if not plan:
        return
    if connections[using].vendor == "sqlite":
        drop(using)
        return
    if any(backwards and migration.app_label == PollableConfig.label for migration, backwards in plan):
        drop(using)
        return
    changed = {
        (migration.app_label, str(getattr(operation, "model_name", None) or operation.name).lower())
        for migration, backwards in plan
        for operation in migration.operations
        if isinstance(operation, REVERSED if backwards else REMOVALS)
    }
    if not changed:
        return
    tables = {f"{app}_{model}" for app, model in changed}
    drop(
        using,
        [
            feed.id
            for feed in feeds()
            if tables & {feed.model._meta.db_table, *(watch.table for watch in watches(feed))}
            or (feed.model._meta.app_label, feed.model._meta.model_name) in changed
        ],
    )


def _install_triggers(using: str = DEFAULT_DB_ALIAS, **kwargs: Any) -> None:
    from django_pollable.ledger.triggers import install

    install(using)
