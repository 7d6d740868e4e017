"""Views beside other parts of Django REST framework."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.test import APIClient, APIRequestFactory
from rest_framework.versioning import QueryParameterVersioning

from django_pollable.exceptions import NotTracked
from tests.shop.models import Item, Tenant
from tests.shop.views import OpenItems

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
