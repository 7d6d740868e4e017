"""What `class Pollable` says of a model, and what follows from it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2s
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db import models, router

from django_pollable.exceptions import NotTracked
from django_pollable.ledger.keys import KeyFields
from django_pollable.ledger.tables import Feed

Model = type[models.Model]

_registered: dict[Model, Declaration] = {}


@dataclass(frozen=True, slots=True)
class Declaration:
    """The attributes of `class Pollable`, as they are written."""

    scope: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    feed: str | None = None


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
    compared: tuple[models.Field[Any, Any], ...]
    is_linked: bool
    """Whether rows that come and go matter, and not only rows that change."""


@dataclass(frozen=True)
class FeedOptions:
    """A tracked model: its feed's name and id, its scope fields, and what it follows."""

    model: Model
    name: str
    declaration: Declaration

    @functools.cached_property
    def id(self) -> int:
        """A stable hash of the name (31 bits), so that triggers need no look-up."""
        return int.from_bytes(blake2s(self.name.encode(), digest_size=4).digest()) >> 1

    @functools.cached_property
    def key(self) -> KeyFields:
        """The primary key's fields."""
        meta = self.model._meta
        return KeyFields(tuple(getattr(meta, "pk_fields", None) or (meta.pk,)))

    @functools.cached_property
    def scope(self) -> KeyFields:
        """
        The scope's fields.

        Raises:
            FieldDoesNotExist: the model has no such field.
        """
        return KeyFields(tuple(self.model._meta.get_field(name) for name in self.declaration.scope))  # type: ignore[misc]

    def scope_of(self, values: dict[str, Any], connection: Any) -> str:
        """
        Return the name of the scope that `values` (a dict with each scope field) describe.

        Raises:
            ImproperlyConfigured: the dict has other keys than the scope's fields.
            ValidationError: a value cannot be one of its field.
        """
        if set(values) != set(self.declaration.scope):
            raise ImproperlyConfigured(
                f"`get_scope()` must give {list(self.declaration.scope)} for {self.name}, not {list(values)}."
            )
        named = [values[name] for name in self.declaration.scope]
        self.scope.check(named, connection)
        return self.scope.encode(named, connection)

    def is_on(self, using: str) -> bool:
        """Return whether the model and its ledger live in the database `using`."""
        return router.allow_migrate_model(using, self.model) and router.allow_migrate_model(using, Feed)


def declare(model: Model, *, scope: Sequence[str] = (), follows: Sequence[str] = (), feed: str | None = None) -> None:
    """Track a model that cannot have a `class Pollable` of its own. Call it in an `AppConfig.ready()`."""
    _registered[model] = Declaration(tuple(scope), tuple(follows), feed)
    feed_of.cache_clear()


@functools.cache
def feed_of(model: Model) -> FeedOptions:
    """
    Return the feed of `model`; a proxy has its concrete model's.

    Raises:
        NotTracked: the model is not pollable.
    """
    concrete = model._meta.concrete_model or model
    declared = concrete.__dict__.get("Pollable") or getattr(concrete, "Pollable", None)
    if concrete in _registered:
        declaration = _registered[concrete]
    elif declared is not None and not concrete._meta.abstract:
        declaration = Declaration(
            tuple(getattr(declared, "scope", ())), tuple(getattr(declared, "follows", ())), _own_feed_name(concrete)
        )
    else:
        raise NotTracked(f"{model._meta.label} is not tracked: subclass PollableModel or `register()` it.")
    return FeedOptions(concrete, declaration.feed or concrete._meta.label_lower, declaration)


def _own_feed_name(model: Model) -> str | None:
    """Return a pinned name; a child does not share its parent's."""
    declared = model.__dict__.get("Pollable")
    return getattr(declared, "feed", None)


def feeds() -> list[FeedOptions]:
    """Return every feed of the project."""
    found = []
    for model in apps.get_models():
        if model._meta.proxy:
            continue
        try:
            found.append(feed_of(model))
        except NotTracked:
            continue
    return found


def watches(feed: FeedOptions) -> list[Watch]:
    """
    Return the other tables whose rows change what `feed` shows.

    Raises:
        FieldDoesNotExist: `follows` names no relation of the model.
    """
    found = [_parent(feed.model, parent) for parent in feed.model._meta.get_parent_list() if not parent._meta.abstract]
    for path in feed.declaration.follows:
        found += _follow(feed.model, path)
    return found


def _parent(model: Model, parent: Model) -> Watch:
    """Return the watch of a parent's table: its columns are the child's too."""
    pk = parent._meta.pk
    return Watch(
        parent._meta.label_lower,
        parent._meta.db_table,
        str(pk.column),
        "pk",
        KeyFields((pk,)),
        tuple(parent._meta.local_concrete_fields),
        False,
    )


def _follow(model: Model, path: str) -> list[Watch]:
    """Return the watches of each relation along `path` (`steps__logs`)."""
    found: list[Watch] = []
    prefix = ""
    for name in path.split("__"):
        relation = model._meta.get_field(name)
        found += _watches_of(relation, name, prefix)
        prefix += f"{name}__"
        model = relation.related_model  # type: ignore[assignment]
    return found


def _watches_of(relation: Any, name: str, prefix: str) -> list[Watch]:
    if relation.many_to_many:
        return _many_to_many(relation, name, prefix)
    if relation.auto_created and (relation.one_to_many or relation.one_to_one):
        return [_reverse(relation.field, relation.related_model, name, prefix)]
    if relation.concrete and (relation.many_to_one or relation.one_to_one):
        return [_forward(relation, name, prefix)]
    raise FieldDoesNotExist(f"'{prefix}{name}' is no foreign key, many-to-many or reverse relation.")


def _reverse(field: Any, child: Model, name: str, prefix: str) -> Watch:
    """A child's row names its owner: note the owner before and after."""
    target = field.target_field
    return Watch(
        prefix + name,
        child._meta.db_table,
        field.column,
        prefix + (target.name if not target.primary_key else "pk"),
        KeyFields((target,)),
        tuple(child._meta.local_concrete_fields),
        True,
    )


def _forward(field: Any, name: str, prefix: str) -> Watch:
    """A row that others name: note it when it changes; the rows that name it are tracked themselves."""
    target, owner = field.target_field, field.related_model
    return Watch(
        prefix + name,
        owner._meta.db_table,
        target.column,
        f"{prefix}{name}__{target.name}",
        KeyFields((target,)),
        tuple(owner._meta.local_concrete_fields),
        not field.db_constraint,
    )


def _many_to_many(relation: Any, name: str, prefix: str) -> list[Watch]:
    """The through rows name the owner; the other side's rows are noted when they change."""
    is_forward = not relation.auto_created
    field = relation if is_forward else relation.field
    through = field.remote_field.through
    source = through._meta.get_field(field.m2m_field_name() if is_forward else field.m2m_reverse_field_name())
    other = relation.related_model
    pk = other._meta.pk
    return [
        _reverse(source, through, f"{name} through", prefix),
        Watch(
            prefix + name,
            other._meta.db_table,
            pk.column,
            f"{prefix}{name}__pk",
            KeyFields((pk,)),
            tuple(other._meta.local_concrete_fields),
            False,
        ),
    ]
