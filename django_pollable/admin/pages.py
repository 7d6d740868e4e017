"""What the pages share: the database that they show, who may see them, and what happens where it is down."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db import DEFAULT_DB_ALIAS, DatabaseError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode

from django_pollable.ledger.status import databases

View = TypeVar("View", bound=Callable[..., HttpResponse])

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


def using_of(request: HttpRequest) -> str:
    """Return the database that the page shows: the one asked for, or the first that holds feeds."""
    known = databases()
    asked = request.GET.get("using", "")
    return asked if asked in known else next(iter(known), DEFAULT_DB_ALIAS)


class DatabaseFilter(admin.SimpleListFilter):
    """Which database is shown, where several hold feeds."""

    title = "database"
    parameter_name = "using"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        known = databases()
        return [(using, using) for using in known] if len(known) > 1 else []

    def value(self) -> str | None:
        return super().value() or next(iter(databases()), None)

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        return islice(super().choices(changelist), 1, None)  # none stands for all databases

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset


def telling(view: View) -> View:
    """Let `view` answer with a message where a database is down, or read-only."""

    @functools.wraps(view)
    def answer(self: LedgerAdmin, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(self, request, *args, **kwargs)
        except DatabaseError as error:
            self.message_user(request, f"Database '{using_of(request)}': {error}", messages.ERROR)
            index = reverse("admin:index", current_app=self.admin_site.name)
            return HttpResponseRedirect(request.get_full_path() if request.method == "POST" else index)

    return cast(View, answer)


class LinkedList(ChangeList):
    """A list whose links stay in its database."""

    def url_for_result(self, result: Any) -> str:
        query = urlencode({"using": result._state.db}) if len(databases()) > 1 else ""
        return f"{super().url_for_result(result)}?{query}".rstrip("?")


class LedgerAdmin(ModelAdmin):
    """Shows rows of the ledger in one of the databases, to those who may view them."""

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()

    changelist_view = telling(admin.ModelAdmin.changelist_view)
    change_view = telling(admin.ModelAdmin.change_view)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return LinkedList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).using(using_of(request))
