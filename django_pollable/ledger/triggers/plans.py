"""Which tables a plan of migrations changes in a way that breaks triggers, or is refused because of them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

from django.apps.registry import Apps
from django.core.exceptions import FieldDoesNotExist
from django.db.migrations import Migration
from django.db.migrations.operations import (
    AddField,
    AlterField,
    CreateModel,
    DeleteModel,
    RemoveField,
    RenameField,
    RenameModel,
    SeparateDatabaseAndState,
)
from django.db.migrations.operations.base import Operation

Plan = Iterable[tuple[Migration, bool]]
"""Migrations, and whether each is undone."""


def tables_in_the_way(plan: Plan, apps: Apps) -> set[str]:
    """
    Return the tables, as the state `apps` before the plan has them, of which a column goes or is renamed.

    A trigger that names such a column makes every write to its table fail.
    """
    names: dict[tuple[str, str], str] = {}
    found: set[str] = set()
    for migration, is_undone in plan:
        for operation in _operations(migration.operations):
            model_name = str(getattr(operation, "model_name", None) or getattr(operation, "name", "")).lower()
            if isinstance(operation, RenameModel):
                model_name = str(operation.new_name if is_undone else operation.old_name).lower()
            label = migration.app_label
            known_as = names.get((label, model_name), model_name)
            if isinstance(operation, RenameModel):
                renamed_to = str(operation.old_name if is_undone else operation.new_name).lower()
                names[label, renamed_to] = known_as
            try:
                model = apps.get_model(label, known_as)
            except LookupError:
                continue  # it begins with the plan, and has no triggers yet
            found |= _touched(operation, model, is_undone=is_undone)
    return found


def _operations(operations: Iterable[Operation]) -> Iterator[Operation]:
    for operation in operations:
        if isinstance(operation, SeparateDatabaseAndState):
            yield from _operations(operation.database_operations)
        else:
            yield operation


def _touched(operation: Operation, model: Any, *, is_undone: bool) -> set[str]:
    """Return the tables of which the operation takes or renames a column."""
    if isinstance(operation, RenameModel):
        return _through_tables(model)
    takes = (CreateModel, AddField) if is_undone else (DeleteModel, RemoveField)
    if isinstance(operation, (*takes, RenameField)) or (
        isinstance(operation, AlterField) and (is_undone or _renames_column(operation, model))
    ):
        return {model._meta.db_table}
    return set()


def _through_tables(model: Any) -> set[str]:
    """Return the tables of many-to-many relations that have a column named after the model."""
    relations = [
        *model._meta.local_many_to_many,
        *(each.field for each in model._meta.related_objects if each.many_to_many),
    ]
    through = [relation.remote_field.through for relation in relations]
    return {each._meta.db_table for each in through if each._meta.auto_created}


def _renames_column(operation: AlterField, model: Any) -> bool:
    field = copy.copy(operation.field)
    field.set_attributes_from_name(operation.name)
    try:
        return bool(model._meta.get_field(operation.name).column != field.column)
    except FieldDoesNotExist:
        return False  # the plan has renamed it, which is known, or adds it
