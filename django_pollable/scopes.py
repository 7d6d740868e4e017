"""Which part of a feed a view shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import connections, router
from django.db.models import CharField, F, Model, Q, QuerySet, Value
from django.db.models.lookups import Exact
from django.http import Http404
from django.utils.functional import cached_property
from rest_framework import generics

from django_pollable.ledger.changes import Verbatim
from django_pollable.ledger.keys import own_field
from django_pollable.ledger.options import FeedOptions, feed_of

ScopeValues = Mapping[str, Any]
SAFE = ("GET", "HEAD")

if TYPE_CHECKING:
    GenericAPIView = generics.GenericAPIView[Any]
else:
    GenericAPIView = object


@lru_cache(maxsize=4096, typed=True)
def _scope_name(model: type[Model], using: str, names: tuple[str, ...], *values: Any) -> str:
    """Return `FeedOptions.scope_of()` from memory: many requests ask for one scope. There 1 is not True."""
    return feed_of(model).scope_of(dict(zip(names, values, strict=True)), connections[using])


class ScopedMixin(GenericAPIView):
    """A view that shows the rows of one scope, of several, or of a whole feed, from one database."""

    def get_scope(self) -> ScopeValues | Sequence[ScopeValues] | None:
        """
        Return the scope that the request may see: one as a dict, several as a list, or None for the whole feed.

        A value is what the field holds; for a foreign key it may be the object itself.

        Raises:
            ImproperlyConfigured: the model declares a scope and the view none.
        """
        declared = self.get_feed().declaration.scope
        if declared:
            raise ImproperlyConfigured(
                f"'{type(self).__name__}' must define `get_scope()`: "
                f"{self.get_feed().model.__name__} declares scope {declared}."
            )
        return None

    def get_feed(self) -> FeedOptions:
        """Return the feed of the view's model, without a query."""
        queryset: Any = self.queryset if self.queryset is not None else self.unfiltered_rows  # type: ignore[arg-type]
        return feed_of(queryset.model)

    @cached_property
    def _feed(self) -> FeedOptions:
        """What `get_feed()` gives, asked once a request."""
        return self.get_feed()

    def get_database(self) -> str:
        """Return the alias to read: the one that `get_queryset()` names, or what the router says."""
        rows: Any = self.unfiltered_rows
        return str(rows._db or router.db_for_read(self._feed.model))

    @cached_property
    def database(self) -> str:
        """The alias that the whole request reads: a router may name another replica each time."""
        return self.get_database()

    @cached_property
    def written_database(self) -> str:
        """The alias that a write goes to: where the router has what was read from `database` saved."""
        row = self._feed.model()
        row._state.db = self.database
        return str(router.db_for_write(type(row), instance=row))

    @cached_property
    def unfiltered_rows(self) -> QuerySet[Any]:
        """What `get_queryset()` gives, asked once a request, and not copied where it would only copy `queryset`."""
        own: Any = self.queryset  # type: ignore[arg-type]
        is_own = own is not None and type(self).get_queryset is generics.GenericAPIView.get_queryset
        return own if is_own else self.get_queryset()

    @cached_property
    def shown_rows(self) -> QuerySet[Any]:
        """The rows of the view's scopes that pass its filters."""
        return self.filter_queryset(self.unfiltered_rows.all())

    @cached_property
    def scopes(self) -> list[ScopeValues] | None:
        """What `get_scope()` gives, as a list of plain values; None for the whole feed."""
        given = self.get_scope()
        if given is None:
            return None
        listed = [given] if isinstance(given, Mapping) else list(given)
        return [{name: self._plain(name, value) for name, value in values.items()} for values in listed]

    @cached_property
    def scope_names(self) -> tuple[str, ...] | None:
        """The names of the scopes in the ledger, sorted; None for the whole feed."""
        if self.scopes is None:
            return None
        model = self._feed.model
        try:
            names = {_scope_name(model, self.database, tuple(one), *one.values()) for one in self.scopes}
            return tuple(sorted(names))
        except (ValidationError, ValueError, TypeError):
            raise Http404 from None

    def get_object(self) -> Any:
        """Return the row that the URL names; PostgreSQL has none with NUL in its key, and cannot be asked for it."""
        named = self.kwargs.get(self.lookup_url_kwarg or self.lookup_field)
        if "\0" in str(named) and connections[self.database].vendor == "postgresql":
            raise Http404
        return super().get_object()

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        scoped = self.in_scope(super().filter_queryset(queryset))
        return scoped.using(self.database if self.request.method in SAFE else self.written_database)

    def in_scope(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return `queryset` without the rows of other scopes."""
        if self.scopes is None:
            return queryset
        if not self.scope_names:
            return queryset.none()
        within = Q()
        for values in self.scopes:
            within |= self._holds(values)
        return queryset.filter(within)

    def _holds(self, values: ScopeValues) -> Q:
        """Return the condition of one scope: found by the column's index, then compared character by character."""
        found = Q()
        for field in self._feed.scope.fields:
            value, own = values[field.name], own_field(field)
            if value is None:
                found &= Q((f"{field.name}__isnull", True))
                continue
            found &= Q((field.name, value))
            if isinstance(own, CharField):
                found &= Q(Exact(Verbatim(F(field.attname)), Value(own.to_python(value))))
        return found

    def _plain(self, name: str, value: Any) -> Any:
        """Return the value of the scope's field `name` that a row whose foreign key is the object `value` has."""
        if not isinstance(value, Model):
            return value
        field: Any = self._feed.model._meta.get_field(name)
        if not (field.is_relation and isinstance(value, field.related_model)) or value.pk is None:
            raise ImproperlyConfigured(
                f"`get_scope()` of '{type(self).__name__}' gives {value!r} for '{name}': give the value of that field."
            )
        return getattr(value, field.target_field.attname)
