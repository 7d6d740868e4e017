"""Moving from other ways to poll: what the page on it promises."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from rest_framework.test import APIClient

from tests.factories import ItemFactory, TenantFactory
from tests.shop.models import Item, Tenant

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.moving")]


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def tenant() -> Tenant:
    return TenantFactory()


def test_the_old_and_the_new_way_show_the_same_rows_side_by_side(api: APIClient, tenant: Tenant) -> None:
    ItemFactory.create_batch(3, tenant=tenant, updated_at=now())

    old = api.get(f"/updated/{tenant.pk}/items/").json()
    new = api.get(f"/{tenant.pk}/items/").json()

    assert new["items"] == old


def test_the_instant_of_an_old_client_is_a_cursor_of_the_new_way(api: APIClient, tenant: Tenant) -> None:
    changed, gone = ItemFactory.create_batch(2, tenant=tenant, updated_at=now())
    api.get(f"/{tenant.pk}/items/")
    removed, place = str(gone.pk), now()
    Item.objects.filter(pk=changed.pk).update(name="changed")
    gone.delete()

    page = api.get(f"/{tenant.pk}/items/", {"since": place.isoformat()}).json()
    old = api.get(f"/updated/{tenant.pk}/items/", {"updated_since": place.isoformat()}).json()

    assert changed.pk in [item["id"] for item in page["items"]]
    assert page["removed"] == [removed]
    assert old == []


def test_an_instant_before_the_triggers_begins_anew(api: APIClient, tenant: Tenant) -> None:
    answer = api.get(f"/{tenant.pk}/items/", {"since": (now() - timedelta(days=365)).isoformat()})

    assert (answer.status_code, answer.json()["restart"]) == (410, f"/{tenant.pk}/items/")


def test_pages_by_number_keep_their_bodies(api: APIClient, tenant: Tenant) -> None:
    ItemFactory.create_batch(3, tenant=tenant, updated_at=now())

    old = api.get(f"/conditional/{tenant.pk}/items/").json()
    new = api.get(f"/numbered/{tenant.pk}/items/").json()

    assert (new["count"], new["results"]) == (old["count"], old["results"])


@pytest.mark.parametrize(("path", "status"), [("conditional", 304), ("numbered", 200)])
def test_an_update_without_a_date_is_noticed_by_the_new_way_alone(
    api: APIClient, tenant: Tenant, path: str, status: int
) -> None:
    ItemFactory(tenant=tenant, updated_at=now() - timedelta(hours=1))
    first = api.get(f"/{path}/{tenant.pk}/items/")
    Item.objects.update(name="changed")

    validators = {"If-None-Match": first["ETag"]} if "ETag" in first else {"If-Modified-Since": first["Last-Modified"]}
    assert api.get(f"/{path}/{tenant.pk}/items/", headers=validators).status_code == status


def test_pages_by_number_answer_304_while_nothing_changes(api: APIClient, tenant: Tenant) -> None:
    ItemFactory(tenant=tenant)
    first = api.get(f"/numbered/{tenant.pk}/items/")

    assert api.get(f"/numbered/{tenant.pk}/items/", headers={"If-None-Match": first["ETag"]}).status_code == 304


def test_a_write_names_the_state_that_it_changes(api: APIClient, tenant: Tenant) -> None:
    item = ItemFactory(tenant=tenant)
    url = f"/guarded/{tenant.pk}/items/{item.pk}/"
    match = {"If-Match": api.get(url)["ETag"]}

    statuses = [
        api.patch(url, {"name": name}, headers=headers).status_code
        for name, headers in (("first", {}), ("second", match), ("third", match))
    ]

    assert statuses == [428, 200, 412]
