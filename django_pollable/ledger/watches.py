"""The other tables whose rows are part of what a feed shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models

from django_pollable.ledger.keys import Field, KeyFields
from django_pollable.ledger.options import FeedOptions, Model


@dataclass(frozen=True, slots=True)
class Watch:
    """A table whose rows are part of a feed's representations, and how they lead to its objects."""

    path: str
    table: str
    column: str
    """What is noted, before and after a write: a key that the look-up `via` answers."""
    via: str
    """An ORM look-up from the feed's model."""
    keys: KeyFields
    compared: tuple[Field, ...]
    notes_inserts: bool
    """Whether a new row matters, and not only rows that change or go."""


def watches(feed: FeedOptions) -> list[Watch]:
    """
    Return the other tables whose rows change what `feed` shows.

    Raises:
        FieldDoesNotExist: `follows` names no relation of the model.
    """
    found = _parents(feed.model, "", "")
    for path in feed.declaration.follows:
        found += _follow(feed.model, path)
    return found


def _follow(model: Model, path: str) -> list[Watch]:
    """Return the watches of each relation along `path` (`steps__logs`)."""
    found: list[Watch] = []
    prefix = ""
    for name in path.split("__"):
        relation = model._meta.get_field(name)
        found += _watches_of(model, relation, name, prefix)
        prefix += f"{name}__"
        model = _concrete(relation.related_model)
        found += _parents(model, prefix, prefix)
    return found


def _watches_of(model: Model, relation: Any, name: str, prefix: str) -> list[Watch]:
    if relation.many_to_many:
        return _many_to_many(model, relation, name, prefix)
    if relation.auto_created and (relation.one_to_many or relation.one_to_one):
        return [_reverse(model, relation.field, name, prefix)]
    if relation.concrete and (relation.many_to_one or relation.one_to_one):
        return [_forward(relation, name, prefix)]
    raise FieldDoesNotExist(f"'{prefix}{name}' is no foreign key, many-to-many or reverse relation.")


def _parents(model: Model, path: str, prefix: str) -> list[Watch]:
    """Return the watches of the tables in which `model` has columns by multi-table inheritance."""
    parents = [_concrete(parent) for parent in model._meta.get_parent_list()]
    return [
        _row(parent, parent._meta.pk, path + parent._meta.label_lower, prefix + parent._meta.pk.name)
        for parent in dict.fromkeys(parents)
    ]


def _reverse(model: Model, field: Any, name: str, prefix: str) -> Watch:
    """A child's row names its owner: note the owner before and after."""
    child, target = _concrete(field.model), field.target_field
    is_own_key = target.primary_key and _concrete(target.model) is _concrete(model)
    return Watch(
        prefix + name,
        child._meta.db_table,
        field.column,
        prefix + ("pk" if is_own_key else target.name),
        KeyFields((target,)),
        tuple(child._meta.local_concrete_fields),
        True,
    )


def _forward(field: Any, name: str, prefix: str) -> Watch:
    """A row that others name: note it when it changes; the rows that name it are tracked themselves."""
    target = field.target_field
    return _row(
        _concrete(target.model),
        target,
        prefix + name,
        f"{prefix}{name}__{target.name}",
        notes_inserts=not field.db_constraint,
    )


def _many_to_many(model: Model, relation: Any, name: str, prefix: str) -> list[Watch]:
    """The through rows name the owner; the other side's rows are noted when they change."""
    is_forward = not relation.auto_created
    field = relation if is_forward else relation.field
    through = field.remote_field.through
    source = through._meta.get_field(field.m2m_field_name() if is_forward else field.m2m_reverse_field_name())
    other = _concrete(relation.related_model)
    return [
        _reverse(model, source, f"{name} through", prefix),
        _row(other, other._meta.pk, prefix + name, f"{prefix}{name}__pk"),
    ]


def _row(model: Model, key: Any, path: str, via: str, *, notes_inserts: bool = False) -> Watch:
    """Return the watch of rows that are noted by a key of their own."""
    compared = tuple(model._meta.local_concrete_fields)
    return Watch(path, model._meta.db_table, str(key.column), via, KeyFields((key,)), compared, notes_inserts)


def _concrete(model: Any) -> type[models.Model]:
    """Return the model that has the table: a proxy has none."""
    concrete: type[models.Model] = model._meta.concrete_model or model
    return concrete
