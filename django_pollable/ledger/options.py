"""What `class Pollable` says of a model, and what follows from it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2s
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
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
