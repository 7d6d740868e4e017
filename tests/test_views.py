"""Views beside other parts of Django REST framework."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from rest_framework.decorators import action
from rest_framework.pagination import PageNumberPagination
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.response import Response
from rest_framework.test import APIClient, APIRequestFactory, force_authenticate
from rest_framework.versioning import QueryParameterVersioning

from django_pollable.caching import CachePolicy
from django_pollable.exceptions import NotTracked
from django_pollable.ledger.options import feed_of
from django_pollable.ledger.sequencer import settle
from django_pollable.ledger.tables import Feed
from tests.factories import CountryFactory, ItemFactory
from tests.shop.models import Item, Price, Tenant
from tests.shop.views import ItemViewSet, OpenItems

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant() -> Tenant:
    return Tenant.objects.create(name="a")


def test_the_browsable_api_shows_pages_and_problems(
    api: APIClient, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OpenItems, "renderer_classes", [JSONRenderer, BrowsableAPIRenderer])
    url = f"/open/{tenant.pk}/items/"
    page = api.get(url, headers={"Accept": "text/html"})
    problem = api.get(url, {"limit": "0"}, headers={"Accept": "text/html"})

    assert page["Content-Type"].startswith("text/html")
    assert (problem.status_code, problem["Cache-Control"]) == (400, "no-store")
    assert b"invalid-parameter" in problem.content
    json = api.get(url)
    assert json["ETag"] != page["ETag"]
    assert json["Vary"] == "Accept"


def test_a_page_that_shows_who_asks_is_never_anothers(tenant: Tenant, alice: User) -> None:
    class Shared(OpenItems):
        renderer_classes = [JSONRenderer, BrowsableAPIRenderer]
        cache_policy = CachePolicy.private()

    def tag_for(user: User, accept: str) -> str:
        request = APIRequestFactory().get("/", headers={"Accept": accept})
        force_authenticate(request, user)
        return str(Shared.as_view()(request, tenants=str(tenant.pk))["ETag"])

    users = alice, User(pk=alice.pk + 1)
    assert len({tag_for(user, "application/json") for user in users}) == 1
    assert len({tag_for(user, "text/html") for user in users}) == 2


def test_a_page_that_shows_who_asks_is_no_caches(tenant: Tenant, alice: User) -> None:
    class Browsed(OpenItems):
        renderer_classes = [JSONRenderer, BrowsableAPIRenderer]

    def control(accept: str, user: User | None) -> str:
        request = APIRequestFactory().get("/", headers={"Accept": accept})
        force_authenticate(request, user)
        return str(Browsed.as_view()(request, tenants=str(tenant.pk))["Cache-Control"])

    assert control("text/html", alice) == "private, max-age=0"
    assert control("text/html", None) == control("application/json", alice) == "public, max-age=1"


def test_another_api_version_is_another_representation(tenant: Tenant) -> None:
    class Versioned(OpenItems):
        versioning_class = QueryParameterVersioning

    view: Any = Versioned.as_view()
    requests = APIRequestFactory()
    start = view(requests.get("/", {"version": "1"}), tenants=str(tenant.pk)).data["next_since"]

    same = view(requests.get("/", {"version": "1", "since": start}), tenants=str(tenant.pk))
    other = view(requests.get("/", {"version": "2", "since": start}), tenants=str(tenant.pk))

    assert (same.status_code, other.status_code) == (200, 410)


def test_a_view_of_an_untracked_model_says_what_to_do(tenant: Tenant) -> None:
    class Tenants(OpenItems):
        queryset = Tenant.objects.all()

    with pytest.raises(NotTracked, match="subclass PollableModel"):
        Tenants.as_view()(APIRequestFactory().get("/"), tenants="1")


def test_if_match_that_fails_is_412(api: APIClient, tenant: Tenant) -> None:
    answer = api.get(f"/open/{tenant.pk}/items/", headers={"If-Match": '"other"'})

    assert answer.status_code == 412
    assert answer.json()["type"].endswith("precondition-failed")


def test_a_user_without_scopes_has_an_empty_feed(tenant: Tenant) -> None:
    class Nothing(OpenItems):
        def get_scope(self) -> Any:
            return []

    Item.objects.create(tenant=tenant)

    assert Nothing.as_view()(APIRequestFactory().get("/"), tenants="1").data["items"] == []


def test_an_action_that_pages_by_a_feed_is_told_to_choose_another_paginator(tenant: Tenant) -> None:
    class Items(ItemViewSet):
        permission_classes = []

        @action(detail=False)
        def recent(self, request: Any, **kwargs: Any) -> Any:
            return self.get_paginated_response(self.paginate_queryset(self.get_queryset()))

        @action(detail=False, pagination_class=PageNumberPagination)
        def paged(self, request: Any, **kwargs: Any) -> Any:
            return Response(self.paginate_queryset(self.get_queryset()))

    with pytest.raises(ImproperlyConfigured, match="paginator of its own"):
        Items.as_view({"get": "recent"})(APIRequestFactory().get("/"), tenant=str(tenant.pk))
    paged = Items.as_view({"get": "paged"}, **Items.paged.kwargs)
    assert paged(APIRequestFactory().get("/"), tenant=str(tenant.pk)).status_code == 200


def test_a_thousand_composite_keys_are_looked_up(api: APIClient) -> None:
    start = api.get("/prices/").json()["next_since"]
    Price.objects.bulk_create(Price(product=number, currency="EUR", amount=1) for number in range(1100))
    while settle(feed_of(Price), using="default"):
        pass

    page = api.get("/prices/", {"since": start, "limit": 1000}).json()
    Price.objects.all().delete()
    while settle(feed_of(Price), using="default"):
        pass
    gone = api.get("/prices/", {"since": start, "limit": 1000}).json()

    assert len(page["items"]) == len(gone["removed"]) == 1000


def test_a_list_and_a_single_resource_have_other_tags(api: APIClient, tenant: Tenant) -> None:
    CountryFactory(code="a")

    assert api.get("/countries/")["ETag"] != api.get("/countries/a/")["ETag"]


def test_a_time_before_the_history_began_anew_is_gone(api: APIClient, tenant: Tenant) -> None:
    """P2, P24: `Feed.pruned_before` says so."""
    url = f"/open/{tenant.pk}/items/"
    api.get(url)
    Feed.objects.filter(pk=feed_of(Item).id).update(pruned_before=1_700_000_000_000)

    assert api.get(url, {"since": 1_699_999_999}).json()["reason"] == "history-pruned"
    assert api.get(url, {"since": 1_700_000_000}).status_code == 200


def test_an_answer_without_changes_asks_for_the_head_alone(api: APIClient, django_assert_num_queries: Any) -> None:
    tenant = ItemFactory().tenant
    url = f"/open/{tenant.pk}/items/"
    since = api.get(url).json()["next_since"]

    with django_assert_num_queries(1):
        answer = api.get(url, {"since": since})

    assert (answer.status_code, answer.json()["items"], answer.json()["next_since"]) == (200, [], since)
