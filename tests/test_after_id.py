"""Rows after a row: whatever pruning does meanwhile, no client of `next_since` misses one or begins for ever."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient, APIRequestFactory

from django_pollable.ledger.changes import ChangeLog
from django_pollable.ledger.options import feed_of
from django_pollable.ledger.pruning import prune
from django_pollable.ledger.sequencer import settle
from django_pollable.ledger.tables import Change, PendingChange
from django_pollable.pagination import AfterIdPagination
from tests.factories import CountryFactory, ItemFactory, LogFactory, PriceFactory, TenantFactory
from tests.shop.models import Country, Item, Log, Price
from tests.shop.views import AllItems, Countries, Logs, OpenItems, Prices

pytestmark = pytest.mark.django_db


def ask(view: Any, query: Any = None, **kwargs: str) -> Any:
    return view.as_view()(APIRequestFactory().get("/", query), **kwargs)


def forget(model: Any, *rows: Any) -> None:
    """Prune the changes of `rows`."""
    while settle(feed_of(model), using="default"):
        pass
    Change.objects.filter(feed_id=feed_of(model).id, key__in=[str(row.pk) for row in rows]).update(changed_at=1)
    prune(feed_of(model), using="default")


def flat(pages: list[Any]) -> list[Any]:
    return [key for page in pages for key in page]


def follow(view: Any, *, limit: int = 2, **kwargs: str) -> list[Any]:
    """Return the ids that a client of `next_since` gets, page by page."""
    pages: list[Any] = []
    query: dict[str, Any] = {}
    while True:
        answer = ask(view, {"limit": limit, **query}, **kwargs)
        assert answer.status_code == 200
        pages.append([item.get("id") for item in answer.data["items"]])
        if not answer.data["has_more"]:
            return pages
        query = {"since": answer.data["next_since"]}
        assert len(pages) < 50


def test_a_client_of_cursors_gets_through_a_pruned_feed() -> None:
    """P24: a row that was changed late keeps its early place, below the horizon."""
    logs = LogFactory.create_batch(6)
    settle(feed_of(Log), using="default")
    Log.objects.filter(pk__in=[logs[0].pk, logs[1].pk]).update(text="late")
    forget(Log, *logs[2:5])

    pages = follow(Logs, limit=1)

    assert sorted(flat(pages)) == [log.pk for log in logs]


def test_a_cursor_among_unrecorded_rows_expires_when_pruning_makes_more_of_them(api: APIClient) -> None:
    """P25: what it took may stand before the client's place now."""
    logs = LogFactory.create_batch(6)
    settle(feed_of(Log), using="default")
    Log.objects.filter(pk__in=[logs[0].pk, logs[1].pk]).update(text="late")
    forget(Log, *logs[2:])
    page = api.get("/logs/", {"limit": 1}).json()
    assert [item["id"] for item in page["items"]] == [logs[2].pk]

    forget(Log, *logs[:2])

    assert api.get("/logs/", {"limit": 1, "since": page["next_since"]}).json()["reason"] == "history-pruned"
    assert sorted(flat(follow(Logs))) == [log.pk for log in logs]


def test_pruning_between_the_statements_of_a_page_is_seen(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = LogFactory.create_batch(3)
    unrecorded = ChangeLog.unrecorded

    def unrecorded_before_pruning(self: ChangeLog, rows: Any) -> Any:
        found = list(unrecorded(self, rows).order_by("pk"))
        forget(Log, *logs)
        return Log.objects.filter(pk__in=[row.pk for row in found])

    api.get("/logs/", {"since": "now"})
    monkeypatch.setattr(ChangeLog, "unrecorded", unrecorded_before_pruning)

    assert api.get("/logs/").json()["reason"] == "history-pruned"


class Items(OpenItems):
    pagination_class = AfterIdPagination


class All(AllItems):
    pagination_class = AfterIdPagination


def test_an_id_stands_once_in_a_page() -> None:
    """P8: also one that has a change in each of two scopes."""
    one, two = TenantFactory.create_batch(2)
    moved = ItemFactory(tenant=one)
    settle(feed_of(Item), using="default")
    Item.objects.update(tenant=two)

    assert follow(Items, limit=9, tenants=f"{one.pk},{two.pk}") == [[moved.pk]]
    assert follow(All, limit=9) == [[moved.pk]]


def test_a_row_that_is_recorded_in_another_scope_only_is_unrecorded_here() -> None:
    """P4: moved here, and this change is pruned."""
    one, two = TenantFactory.create_batch(2)
    moved = ItemFactory(tenant=one)
    settle(feed_of(Item), using="default")
    Item.objects.update(tenant=two)
    settle(feed_of(Item), using="default")
    Change.objects.filter(scope=str(two.pk)).delete()

    assert follow(Items, tenants=str(two.pk)) == [[moved.pk]]


class PricesAfter(Prices):
    pagination_class = AfterIdPagination


class CountriesAfter(Countries):
    pagination_class = AfterIdPagination


def test_a_composite_key_can_be_unrecorded() -> None:
    for product in (1, 2):
        for currency in ("A,", "~b", "c"):
            PriceFactory(product=product, currency=currency)
    settle(feed_of(Price), using="default")
    Change.objects.filter(key__startswith="1").delete()

    unrecorded = Price.objects.filter(product=1).order_by("pk")
    answer = ask(PricesAfter, {"limit": 2})
    rest = ask(PricesAfter, {"since": answer.data["next_since"]})

    found = [(item["product"], item["currency"]) for page in (answer, rest) for item in page.data["items"]]
    assert found == [*(price.pk for price in unrecorded), (2, "A,"), (2, "~b"), (2, "c")]
    assert ask(PricesAfter, {"after_id": "1,A~."}).data["items"][0]["product"] in (1, 2)


@pytest.mark.parametrize("code", ["A", ""])
def test_keys_of_text_are_recorded_character_by_character(code: str) -> None:
    for key in (code, "a", "b"):
        if not Country.objects.filter(code__iexact=key).exists():
            CountryFactory(code=key)
    settle(feed_of(Country), using="default")
    Change.objects.exclude(key="b").delete()
    view = CountriesAfter.as_view({"get": "list"})

    first = view(APIRequestFactory().get("/", {"limit": 1})).data
    second = view(APIRequestFactory().get("/", {"limit": 9, "since": first["next_since"]})).data

    assert [item["code"] for item in first["items"] + second["items"]] == sorted(
        Country.objects.values_list("code", flat=True)
    )


def test_a_row_whose_change_has_no_number_yet_comes_with_its_number(
    api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P4: else its id would be a place that the others are behind."""
    first = LogFactory()
    api.get("/logs/")
    PendingChange.objects.create(feed_id=feed_of(Log).id, key=str(first.pk))
    Change.objects.filter(feed_id=feed_of(Log).id).delete()

    rows = ChangeLog(feed_of(Log), None, "default").unrecorded(Log.objects.all())

    assert list(rows) == []


def test_an_id_that_cannot_be_one_is_refused_beside_a_cursor_too(api: APIClient) -> None:
    cursor = api.get("/logs/").json()["next_since"]

    for since in (cursor, "now"):
        assert api.get("/logs/", {"since": since, "after_id": "false"}).json()["type"].endswith("invalid-parameter")
        assert api.get("/logs/", {"since": since, "after_id": "1"}).status_code == 200
