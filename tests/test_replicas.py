"""Heads from memory where one name stands for several replicas, each of which lags by itself."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings
from rest_framework.test import APIClient

from django_pollable import heads
from django_pollable.ledger.options import feed_of
from django_pollable.ledger.tables import Feed
from django_pollable.memory import Remembered
from tests.shop.models import Item
from tests.shop.views import NumberedItems, OpenItems

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "archive"])

URL = "/open/all/items/"


@pytest.fixture
def replica(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A replica that has got to 5, as this process remembers; then the name stands for one that has got to 2."""
    monkeypatch.setattr(heads, "_copies", Remembered(10))
    monkeypatch.setattr(OpenItems, "queryset", Item.objects.using("archive"))
    monkeypatch.setattr(NumberedItems, "get_scope", lambda _self: None)
    feed = feed_of(Item)
    rows = Feed.objects.using("archive")
    rows.filter(pk=feed.id).delete()
    rows.create(pk=feed.id, name=feed.name, sequence=5)
    with override_settings(POLLABLE_PUBLISH_SECONDS=3600):
        yield api.get(URL, {"since": "now"})
    rows.filter(pk=feed.id).delete()


def fall_behind() -> None:
    Feed.objects.using("archive").filter(pk=feed_of(Item).id).update(sequence=2)


@pytest.mark.parametrize("url", [URL, f"{URL}?since=1697041000", "/open/all/numbered/"])
def test_no_page_is_read_from_a_replica_that_lags_behind_the_head(api: APIClient, replica: Any, url: str) -> None:
    fall_behind()

    answer = api.get(url)

    assert (answer.status_code, answer["Retry-After"]) == (503, "1")
    assert answer.json()["type"].endswith("not-yet-available")


def test_a_page_is_read_from_a_replica_that_has_got_so_far(api: APIClient, replica: Any) -> None:
    assert api.get(f"{URL}?since=1697041000").json()["next_since"] == replica.json()["next_since"]


def test_an_unchanged_feed_asks_no_replica(api: APIClient, replica: Any, django_assert_num_queries: Any) -> None:
    fall_behind()

    with django_assert_num_queries(0, using="archive"):
        answer = api.get(URL, {"since": replica.json()["next_since"]}, headers={"If-None-Match": replica["ETag"]})

    assert answer.status_code == 304
