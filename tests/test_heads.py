"""Heads from memory: how old they may be, and who gets which."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.db import connections, transaction
from django.test import override_settings
from django.urls import path
from rest_framework.permissions import IsAuthenticated
from rest_framework.test import APIClient

from django_pollable import heads
from django_pollable.authentication import PollableTokenAuthentication
from django_pollable.caching import CachePolicy
from django_pollable.cursors import Binding, Cursor
from django_pollable.heads import Place, head_of
from django_pollable.ledger.options import feed_of
from django_pollable.ledger.state import FeedState
from django_pollable.memory import Remembered
from tests.clocks import Clock
from tests.factories import ItemFactory
from tests.services import Redis
from tests.shop.models import Item
from tests.shop.views import OpenItems

pytestmark = pytest.mark.django_db(transaction=True)


class PrivateItems(OpenItems):
    authentication_classes = [PollableTokenAuthentication]
    permission_classes = [IsAuthenticated]
    cache_policy = CachePolicy.private()
    varies_by_user = True


urlpatterns = [path("private/<tenants>/", PrivateItems.as_view())]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(heads, "_copies", Remembered(heads.MOST, clock))
    return clock


@pytest.fixture
def place() -> Place:
    return Place("default", feed_of(Item), None)


@pytest.fixture
def shared(redis: Redis) -> Iterator[Redis]:
    with override_settings(CACHES={"default": redis.cache}):
        yield redis
        caches["default"].close()


def another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what this process knows."""
    monkeypatch.setattr(heads, "_copies", Remembered(heads.MOST))


def cursor_at(epoch: str, sequence: int) -> Cursor:
    return Cursor(Binding(1, "", "", ""), epoch, sequence)


def test_without_a_setting_each_poll_reads_the_head(place: Place, django_assert_num_queries: Any) -> None:
    head_of(place)

    with django_assert_num_queries(2):
        head_of(place)
        head_of(place, is_public=True)


@override_settings(POLLABLE_HEAD_MAX_AGE_SECONDS=2)
def test_a_copy_lasts_as_long_as_the_setting_says(place: Place, clock: Clock) -> None:
    before = head_of(place)
    ItemFactory()

    clock.now += 1.9
    young = head_of(place)
    clock.now += 0.1
    later = head_of(place)

    assert young is before
    assert later.head == before.head + 1


@override_settings(POLLABLE_HEAD_MAX_AGE_SECONDS=60)
def test_a_copy_costs_no_connection(place: Place) -> None:
    head_of(place)
    is_in_memory = connections["default"].vendor == "sqlite"
    if not is_in_memory:
        connections["default"].close()

    head_of(place)

    assert is_in_memory or connections["default"].connection is None


@override_settings(POLLABLE_HEAD_MAX_AGE_SECONDS=60)
def test_a_copy_that_is_behind_the_client_is_read_anew(place: Place) -> None:
    before = head_of(place)
    ItemFactory()

    assert head_of(place, cursor=cursor_at(before.epoch, before.head)) is before
    assert head_of(place, cursor=cursor_at(before.epoch, before.head + 1)).head == before.head + 1
    assert head_of(place).head == before.head + 1


@override_settings(POLLABLE_HEAD_MAX_AGE_SECONDS=60)
def test_a_copy_of_another_epoch_is_read_anew(place: Place) -> None:
    before = head_of(place)

    after = head_of(place, cursor=cursor_at("another", 1))

    assert after == before
    assert after is not before


@override_settings(POLLABLE_HEAD_MAX_AGE_SECONDS=60)
def test_a_transaction_takes_nothing_from_memory_and_puts_nothing_there(place: Place) -> None:
    before = head_of(place)

    with transaction.atomic():
        ItemFactory()
        within = head_of(place)
        transaction.set_rollback(True)

    assert within.head > before.head
    assert head_of(place) is before


@override_settings(POLLABLE_HEAD_MAX_AGE_SECONDS=60)
def test_each_set_of_scopes_has_a_copy_of_its_own(place: Place) -> None:
    item = ItemFactory()
    one = place._replace(scopes=(str(item.tenant_id),))

    assert (head_of(place).head, head_of(one).head) == (head_of(place).head, head_of(one).head)
    assert head_of(one) is not head_of(place)


@override_settings(POLLABLE_PUBLISH_SECONDS=60)
def test_a_public_head_advances_only_so_often(place: Place) -> None:
    before = head_of(place, is_public=True)
    ItemFactory()

    assert head_of(place, is_public=True) is before
    assert head_of(place).head == before.head + 1


@override_settings(POLLABLE_PUBLISH_SECONDS=60)
def test_all_processes_show_the_same_public_head(place: Place, shared: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    before = head_of(place, is_public=True)
    ItemFactory()
    another_process(monkeypatch)

    assert head_of(place, is_public=True) == before


@override_settings(POLLABLE_PUBLISH_SECONDS=1)
def test_a_published_head_makes_room_for_the_next(place: Place, shared: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    before = head_of(place, is_public=True)
    ItemFactory()
    time.sleep(1.2)
    another_process(monkeypatch)

    assert head_of(place, is_public=True).head == before.head + 1


@override_settings(POLLABLE_PUBLISH_SECONDS=60)
def test_the_copy_of_a_published_head_is_as_old_as_that(
    place: Place, shared: Redis, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    head_of(place, is_public=True)
    monkeypatch.setattr(heads, "_copies", Remembered(heads.MOST, clock))
    monkeypatch.setattr(time, "time", lambda: 1050.0)

    head_of(place, is_public=True)

    assert heads._copies.get(place.key, 51) is not None
    assert heads._copies.get(place.key, 49) is None


@override_settings(POLLABLE_PUBLISH_SECONDS=60)
def test_a_published_head_that_is_behind_the_client_is_replaced(
    place: Place, shared: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = head_of(place, is_public=True)
    ItemFactory()
    another_process(monkeypatch)

    ahead = head_of(place, is_public=True, cursor=cursor_at(before.epoch, before.head + 1))
    another_process(monkeypatch)

    assert ahead.head == before.head + 1
    assert head_of(place, is_public=True) == ahead


@override_settings(POLLABLE_PUBLISH_SECONDS=60)
def test_of_two_processes_that_read_at_once_both_show_what_was_published_first(
    place: Place, shared: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(place: Place) -> FeedState:
        state = read_anew(place)
        if not published:  # the other process is faster by a moment
            published.append(state)
            another_process(monkeypatch)
            published.append(head_of(place, is_public=True))
            ItemFactory()
        return replace(state, head=state.head + 1)

    published: list[FeedState] = []
    read_anew = heads._read
    monkeypatch.setattr(heads, "_read", read)

    assert head_of(place, is_public=True) == published[1]


@override_settings(POLLABLE_PUBLISH_SECONDS=60)
def test_a_dead_cache_costs_the_agreement_and_nothing_else(place: Place, shared: Redis) -> None:
    shared.stop()
    before = head_of(place, is_public=True)
    ItemFactory()

    assert head_of(place, is_public=True) is before


@pytest.mark.urls(__name__)
@override_settings(POLLABLE_HEAD_MAX_AGE_SECONDS=60, POLLABLE_TOKEN_MAX_AGE_SECONDS=60)
def test_an_idle_poll_of_a_private_feed_opens_no_connection(
    api: APIClient, alice: User, django_assert_num_queries: Any
) -> None:
    url, headers = f"/private/{ItemFactory().tenant_id}/", {"Authorization": "Token alice-token"}
    first = api.get(url, headers=headers)
    is_in_memory = connections["default"].vendor == "sqlite"
    if not is_in_memory:
        connections["default"].close()

    with django_assert_num_queries(0) if is_in_memory else nullcontext():  # to count queries it connects
        second = api.get(
            url, {"since": first.json()["next_since"]}, headers={**headers, "If-None-Match": first["ETag"]}
        )

    assert second.status_code == 304
    assert is_in_memory or connections["default"].connection is None


@override_settings(POLLABLE_HEAD_MAX_AGE_SECONDS=60)
def test_a_client_of_two_processes_gets_every_change(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    item = ItemFactory()
    url = f"/open/{item.tenant_id}/items/"
    behind = heads._copies
    first = api.get(url).json()
    another_process(monkeypatch)
    ItemFactory(tenant=item.tenant)
    ahead = api.get(url, {"since": first["next_since"]}).json()
    monkeypatch.setattr(heads, "_copies", behind)

    again = api.get(url, {"since": ahead["next_since"]})

    assert len(ahead["items"]) == 1
    assert again.status_code == 200
    assert again.json()["next_since"] == ahead["next_since"]
