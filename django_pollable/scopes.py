"""Which part of a feed a view shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import connections, router
from django.db.models import Q, QuerySet
from django.http import Http404
from django.utils.functional import cached_property
from rest_framework import generics

from django_pollable.ledger.options import FeedOptions, feed_of

ScopeValues = Mapping[str, Any]
SAFE = ("GET", "HEAD")

if TYPE_CHECKING:
    GenericAPIView = generics.GenericAPIView[Any]
else:
    GenericAPIView = object


class ScopedMixin(GenericAPIView):
    """A view that shows the rows of one scope, of several, or of a whole feed, from one database."""

    def get_scope(self) -> ScopeValues | Sequence[ScopeValues] | None:
        """
        Return the scope that the request may see: one as a dict, several as a list, or None for the whole feed.

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
        queryset: Any = self.queryset if self.queryset is not None else self.get_queryset()  # type: ignore[arg-type]
        return feed_of(queryset.model)

    def get_database(self) -> str:
        """Return the alias that the whole request reads."""
        queryset: Any = self.queryset  # type: ignore[arg-type]
        if queryset is not None and queryset._db:
            return str(queryset._db)
        return router.db_for_read(self.get_feed().model)

    @cached_property
    def scopes(self) -> list[ScopeValues] | None:
        """What `get_scope()` gives, as a list; None for the whole feed."""
        given = self.get_scope()
        if given is None:
            return None
        return [given] if isinstance(given, Mapping) else list(given)

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        scoped = self.in_scope(super().filter_queryset(queryset))
        return scoped.using(self.get_database()) if self.request.method in SAFE else scoped

    def in_scope(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return `queryset` without the rows of other scopes."""
        if self.scopes is None:
            return queryset
        if not self.scopes:
            return queryset.none()
        within = Q()
        for values in self.scopes:
            within |= Q(
                **{
                    name if value is not None else f"{name}__isnull": value if value is not None else True
                    for name, value in values.items()
                }
            )
        return queryset.filter(within)

    @cached_property
    def scope_names(self) -> tuple[str, ...] | None:
        """The names of the scopes in the ledger, sorted; None for the whole feed."""
        if self.scopes is None:
            return None
        feed, connection = self.get_feed(), connections[self.get_database()]
        try:
            return tuple(sorted({feed.scope_of(dict(values), connection) for values in self.scopes}))
        except (ValidationError, ValueError, TypeError):
            raise Http404 from None
