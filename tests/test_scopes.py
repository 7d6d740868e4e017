"""Which rows a view shows, and from which database."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.db.models import F, QuerySet, Value
from django.db.models.functions import Collate
from django.db.models.lookups import Exact
from django.test import override_settings
from rest_framework.test import APIClient, APIRequestFactory

from django_pollable.ledger.changes import Verbatim
from tests.factories import DocumentFactory, ItemFactory, TenantFactory, UserFactory
from tests.shop.models import Document, Item, Tenant
from tests.shop.views import AllItems, ItemViewSet, OpenItems

pytestmark = pytest.mark.django_db


def ask(view: Any, query: Any = None, **kwargs: str) -> Any:
    return view.as_view()(APIRequestFactory().get("/", query), **kwargs)


@pytest.mark.parametrize("other", ["a", "Á", "A "])
def test_a_scope_of_text_is_compared_character_by_character(api: APIClient, other: str) -> None:
    """P5: whatever the column's collation takes for equal."""
    owner = UserFactory()
    mine = DocumentFactory(owner=owner, folder="A")
    DocumentFactory(owner=owner, folder=other)
    start = api.get("/documents/", {"owner": owner.pk, "folder": "A", "since": "now"}).json()["next_since"]

    shown = api.get("/documents/", {"owner": owner.pk, "folder": "A"}).json()["items"]
    Document.objects.update(title="changed")
    changed = api.get("/documents/", {"owner": owner.pk, "folder": "A", "since": start}).json()

    assert [item["id"] for item in shown] == [item["id"] for item in changed["items"]] == [str(mine.pk)]
    assert changed["removed"] == []


def test_a_text_is_compared_verbatim_where_its_collation_knows_no_case() -> None:
    collation = {"sqlite": "NOCASE", "mysql": "utf8mb4_general_ci"}.get(connection.vendor)
    if collation is None:
        pytest.skip("PostgreSQL has no such collation unless one is made")
    DocumentFactory(folder="a")
    folder = Collate(F("folder"), collation)

    assert Document.objects.filter(Exact(folder, Value("A"))).count() == 1
    assert Document.objects.filter(Exact(folder, Value("A")), Exact(Verbatim(folder), Value("A"))).count() == 0
    assert Document.objects.filter(Exact(folder, Value("A")), Exact(Verbatim(folder), Value("a"))).count() == 1


def test_a_scope_of_numbers_is_compared_once() -> None:
    view: Any = OpenItems()
    view.setup(APIRequestFactory().get("/"), tenants="1")

    assert "COLLATE" not in str(view.in_scope(Item.objects.all()).query)


class Fickle:
    """A router that names another replica each time."""

    asked = 0

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        if model is not Item:
            return None
        Fickle.asked += 1
        return "default" if Fickle.asked == 1 else "archive"


@pytest.mark.parametrize("view", [AllItems, type("Numbered", (AllItems,), {"pagination_class": None})])
def test_a_request_asks_the_router_once(view: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    item = ItemFactory()
    monkeypatch.setattr(Fickle, "asked", 0)

    with override_settings(DATABASE_ROUTERS=[Fickle()]):
        data = ask(view).data

    rows = data["items"] if isinstance(data, dict) else data
    assert [row["id"] for row in rows] == [item.pk]
    assert Fickle.asked == 1


def test_get_queryset_chooses_the_database() -> None:
    class Archived(AllItems):
        def get_queryset(self) -> QuerySet[Item]:
            return Item.objects.using("archive")

    view: Any = Archived()
    request = APIRequestFactory().get("/")
    view.setup(request)
    view.request = view.initialize_request(request)

    assert view.database == view.shown_rows.db == "archive"


def test_a_scope_can_be_named_by_the_object_of_its_foreign_key() -> None:
    item = ItemFactory()

    class Items(OpenItems):
        def get_scope(self) -> Any:
            return {"tenant": item.tenant}

    assert [row["id"] for row in ask(Items).data["items"]] == [item.pk]


@pytest.mark.parametrize("value", [User(pk=1), Tenant()])
def test_a_scope_that_is_another_object_or_an_unsaved_one_is_a_mistake(value: Any) -> None:
    class Items(OpenItems):
        def get_scope(self) -> Any:
            return {"tenant": value}

    with pytest.raises(ImproperlyConfigured, match="give the value of that field"):
        ask(Items)


def test_a_scope_that_cannot_be_is_not_found_by_a_write_either() -> None:
    TenantFactory()
    view = ItemViewSet.as_view({"delete": "destroy"}, permission_classes=[])
    request = APIRequestFactory().delete("/")

    assert view(request, tenant="x", pk="1").status_code == 404
