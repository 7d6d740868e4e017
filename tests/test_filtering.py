"""What a view refuses, no validator hides; what it hides by rule, no removal names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import django_filters
import pytest
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.filters import BaseFilterBackend, OrderingFilter, SearchFilter
from rest_framework.pagination import PageNumberPagination
from rest_framework.test import APIClient, APIRequestFactory

from django_pollable.ledger.tables import Scope
from tests.factories import ItemFactory, TenantFactory
from tests.shop.models import Item, Tenant
from tests.shop.views import AllItems

pytestmark = pytest.mark.django_db
Queries = Callable[[int], Any]


class Rights:
    """Whether the views of these tests refuse."""

    refusal: Exception | None = None

    @classmethod
    def check(cls) -> None:
        if cls.refusal is not None:
            raise cls.refusal


@pytest.fixture
def rights(monkeypatch: pytest.MonkeyPatch) -> type[Rights]:
    monkeypatch.setattr(Rights, "refusal", None)
    return Rights


class RefusingBackend(BaseFilterBackend):
    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        Rights.check()
        return queryset


class RefusingFilters(django_filters.FilterSet):
    @property
    def qs(self) -> Any:
        Rights.check()
        return super().qs


class ByQueryset(AllItems):
    def get_queryset(self) -> QuerySet[Item]:
        Rights.check()
        return Item.objects.all()


class ByBackend(AllItems):
    filter_backends = [SearchFilter, RefusingBackend]


class ByFilterset(AllItems):
    filterset_class = RefusingFilters


class ByView(AllItems):
    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        Rights.check()
        return super().filter_queryset(queryset)


VIEWS = [ByQueryset, ByBackend, ByFilterset, ByView]
VIEWS += [type(f"{view.__name__}Numbered", (view,), {"pagination_class": PageNumberPagination}) for view in VIEWS]


def ask(view: Any, query: Any = None, **headers: str) -> Any:
    return view.as_view()(APIRequestFactory().get("/", query, headers=headers)).render()


@pytest.mark.parametrize("refusal", [PermissionDenied(), Http404()])
@pytest.mark.parametrize("view", VIEWS)
def test_what_the_view_refuses_is_no_304(rights: type[Rights], view: Any, refusal: Exception) -> None:
    ItemFactory()
    etag = ask(view)["ETag"]
    Scope.objects.update(modified_at=1_700_000_000)
    date = "Tue, 14 Nov 2023 22:13:20 GMT"
    rights.refusal = refusal

    plain = ask(view)

    assert plain.status_code in (403, 404)
    for headers in ({"If-None-Match": etag}, {"If-None-Match": "*"}, {"If-Modified-Since": date}):
        answer = ask(view, {"since": "nonsense"} if "Numbered" not in view.__name__ else None, **headers)
        assert (answer.status_code, answer.content) == (plain.status_code, plain.content)


def test_a_page_that_is_not_there_is_no_304(api: APIClient, django_assert_num_queries: Queries) -> None:
    tenant = TenantFactory()
    ItemFactory.create_batch(11, tenant=tenant)
    url = f"/open/{tenant.pk}/numbered/"

    assert api.get(url, {"page": 999, "ordering": "id"}, headers={"If-None-Match": "*"}).status_code == 404
    assert api.get(url, {"page": 2, "ordering": "id"}, headers={"If-None-Match": "*"}).status_code == 304


def test_a_filter_that_makes_no_sense_is_no_304(api: APIClient) -> None:
    tenant = TenantFactory()

    answer = api.get(f"/open/{tenant.pk}/items/", {"search": "\0"}, headers={"If-None-Match": "*"})

    assert answer.status_code == 400


def test_a_filter_that_makes_no_sense_is_refused_where_no_row_is_read(api: APIClient) -> None:
    answer = api.get(f"/open/{TenantFactory().pk}/items/", {"search": "\0", "since": "now"})

    assert answer.status_code == 400


class OnlyNew(BaseFilterBackend):
    """A rule."""

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        return queryset.filter(status="new")


class RequiredFilters(django_filters.FilterSet):
    """A client's filter that a client must not leave out."""

    name = django_filters.CharFilter(required=True)


def removals(view: Any, query: dict[str, str], **changes: Any) -> list[str]:
    """Return what a client of `view` with the filters `query` is told after an item has changed."""
    item = ItemFactory(name="a", status="new")
    view = type(view.__name__, (view,), {"__qualname__": view.__name__})
    start = ask(view, query).data["next_since"]
    Item.objects.filter(pk=item.pk).update(**changes)
    return ["it" if key == str(item.pk) else key for key in ask(view, {**query, "since": start}).data["removed"]]


class ByRule(AllItems):
    filter_backends = [OnlyNew, DjangoFilterBackend, SearchFilter, OrderingFilter]
    filterset_fields = ["name"]


class ByOwnRule(AllItems):
    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return super().filter_queryset(queryset).filter(status="new")


class ByRequired(AllItems):
    filter_backends = [DjangoFilterBackend, OnlyNew]
    filterset_class = RequiredFilters


@pytest.mark.parametrize(
    ("view", "query"),
    [(ByRule, {"name": "a"}), (ByRule, {"search": "a"}), (ByOwnRule, {"search": "a"}), (ByRequired, {"name": "a"})],
)
def test_a_row_is_removed_where_the_clients_filter_hides_it_and_not_where_a_rule_does(
    view: Any, query: dict[str, str]
) -> None:
    assert removals(view, query, name="b") == ["it"]
    assert removals(view, query, status="done") == []
    assert removals(view, query, name="b", status="done") == []


def test_the_ordering_hides_nothing() -> None:
    assert removals(ByRule, {"ordering": "-name"}, status="done") == []
    assert removals(ByRule, {"ordering": "-name"}, name="b") == []


def test_what_a_rule_hides_is_told_where_the_view_discloses_it() -> None:
    view = type("Disclosing", (ByRule,), {"discloses_removed": True})

    assert removals(view, {}, status="done") == ["it"]


@pytest.mark.parametrize("error", [PermissionDenied(), Http404(), KeyError("name")])
def test_nothing_is_told_of_rows_that_a_view_hides_from_those_who_do_not_filter(error: Exception) -> None:
    class Needs(AllItems):
        def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
            if "search" not in self.request.query_params:  # type: ignore[attr-defined]
                raise error
            return super().filter_queryset(queryset)

    assert removals(Needs, {"search": "a"}, name="b") == []


def test_a_304_runs_no_filter_that_its_tag_vouches_for(api: APIClient, django_assert_num_queries: Queries) -> None:
    tenant: Tenant = TenantFactory()
    answer = api.get(f"/open/{tenant.pk}/items/", {"status": "new"})

    with django_assert_num_queries(1):
        again = api.get(f"/open/{tenant.pk}/items/", {"status": "new"}, headers={"If-None-Match": answer["ETag"]})

    assert again.status_code == 304
