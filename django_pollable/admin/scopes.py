"""The pages of scopes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.formats import number_format

from django_pollable.admin.pages import DatabaseFilter, LedgerAdmin, using_of
from django_pollable.admin.texts import when
from django_pollable.ledger.status import feeds_on
from django_pollable.ledger.tables import Scope

MOST_SCOPES = 10_000
"""More scopes are neither counted nor leafed through: they can be searched for."""


class FeedFilter(admin.SimpleListFilter):
    """The scopes of one feed."""

    title = "feed"
    parameter_name = "feed_id"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(feed.id), feed.name) for feed in feeds_on(using_of(request))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(feed_id=self.value()) if self.value() else queryset


@admin.register(Scope)
class ScopeAdmin(LedgerAdmin):
    """The scopes of feeds, of which there may be millions."""

    list_display = ("label", "feed", "head", "own_horizon", "last_modified")
    list_filter = (FeedFilter, DatabaseFilter)
    ordering = ("feed_id", "name")
    search_fields = ("name",)
    search_help_text = f"The whole name of a scope. Of more than {MOST_SCOPES:,} scopes only the first are listed."
    fields = ("label", "feed", "head", "own_horizon", "horizon_key", "last_modified")
    readonly_fields = fields

    def get_paginator(self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **kwargs: Any) -> Any:
        return super().get_paginator(request, queryset[:MOST_SCOPES], *args, **kwargs)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        known = [feed.id for feed in feeds_on(using_of(request))]  # the index begins with the feed
        return queryset.filter(feed_id__in=known, name=search_term), False

    @admin.display(description="scope")
    def label(self, row: Any) -> str:
        return row.name or "(one for all)"

    @admin.display
    def feed(self, row: Any) -> str | None:
        return next((feed.name for feed in feeds_on(row._state.db) if feed.id == row.feed_id), None)

    @admin.display
    def head(self, row: Any) -> str:
        return number_format(row.sequence)

    @admin.display(description="horizon")
    def own_horizon(self, row: Any) -> str:
        return number_format(row.horizon)

    @admin.display(description="last modified")
    def last_modified(self, row: Any) -> str | None:
        return when(datetime.fromtimestamp(row.modified_at, UTC)) if row.modified_at else None
