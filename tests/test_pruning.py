"""Old changes end: the horizon moves with them, and only clients behind it begin again."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, connections
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from django_pollable.ledger.changes import ChangeLog
from django_pollable.ledger.options import feed_of
from django_pollable.ledger.pruning import BATCH, prune
from django_pollable.ledger.sequencer import poll_state, settle
from django_pollable.ledger.tables import Change, Feed, Scope
from tests.factories import ItemFactory, LogFactory, TenantFactory
from tests.shop.models import Item, Log, Tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant() -> Tenant:
    return TenantFactory()


def settle_all(model: Any = Item) -> None:
    while settle(feed_of(model), using="default"):
        pass


def make_old(*items: Item) -> None:
    """Let the changes of `items`, or all, be older than any retention."""
    settle_all()
    changes = Change.objects.filter(feed_id=feed_of(Item).id)
    (changes.filter(key__in=[str(item.pk) for item in items]) if items else changes).update(changed_at=1)


def prune_items() -> int:
    return prune(feed_of(Item), using="default")


def url_of(*tenants: Tenant) -> str:
    return f"/open/{','.join(str(tenant.pk) for tenant in tenants)}/items/"


def cursor(api: APIClient, url: str) -> str:
    return str(api.get(url).json()["next_since"])


def scope_of(tenant: Tenant) -> Scope:
    return Scope.objects.get(feed_id=feed_of(Item).id, name=str(tenant.pk))


def test_only_what_is_older_than_the_retention_goes(tenant: Tenant) -> None:
    old, new = ItemFactory(tenant=tenant), ItemFactory(tenant=tenant)
    make_old(old)

    assert prune_items() == 1
    assert list(Change.objects.filter(scope=str(tenant.pk)).values_list("key", flat=True)) == [str(new.pk)]
    assert prune_items() == 0


def test_the_retention_is_counted_in_seconds_by_the_clock_of_the_database(tenant: Tenant) -> None:
    ItemFactory(tenant=tenant)
    settle_all()
    recorded = Change.objects.get(scope=str(tenant.pk)).changed_at
    Change.objects.update(changed_at=recorded - 60_000)

    with override_settings(POLLABLE_RETENTION_SECONDS=120):
        assert prune_items() == 0
    with override_settings(POLLABLE_RETENTION_SECONDS=59.5):
        assert prune_items() == 1
    assert recorded - 60_000 < Feed.objects.get(pk=feed_of(Item).id).pruned_before < recorded


def test_the_horizon_is_the_last_change_that_went(tenant: Tenant) -> None:
    items = ItemFactory.create_batch(3, tenant=tenant)
    make_old(*items[:2])
    last = Change.objects.get(scope=str(tenant.pk), key=str(items[1].pk)).sequence

    prune_items()

    assert poll_state(feed_of(Item), None, using="default").horizon == last
    assert (scope_of(tenant).horizon, scope_of(tenant).horizon_key) == (last, str(items[1].pk))
    assert ChangeLog(feed_of(Item), None, "default").horizon_of(str(items[1].pk)) == last
    assert ChangeLog(feed_of(Item), (str(tenant.pk),), "default").horizon_of(str(items[0].pk)) is None


def test_the_head_stays_where_it_is(tenant: Tenant) -> None:
    ItemFactory(tenant=tenant)
    make_old()
    before = poll_state(feed_of(Item), (str(tenant.pk),), using="default").head

    prune_items()

    state = poll_state(feed_of(Item), (str(tenant.pk),), using="default")
    assert state.head == state.horizon == before
    assert not Change.objects.filter(scope=str(tenant.pk)).exists()


def test_the_horizon_never_goes_back(tenant: Tenant) -> None:
    first, second = ItemFactory.create_batch(2, tenant=tenant)
    make_old(second)
    prune_items()
    before = poll_state(feed_of(Item), (str(tenant.pk),), using="default").horizon
    make_old(first)

    assert prune_items() == 1
    assert poll_state(feed_of(Item), (str(tenant.pk),), using="default").horizon == before
    assert poll_state(feed_of(Item), None, using="default").horizon == before


def test_a_client_behind_the_horizon_begins_again(api: APIClient, tenant: Tenant) -> None:
    item = ItemFactory(tenant=tenant)
    start = cursor(api, url_of(tenant))
    item.delete()
    make_old()

    prune_items()

    answer = api.get(url_of(tenant), {"since": start})
    assert (answer.status_code, answer.json()["reason"]) == (410, "history-pruned")
    assert answer.json()["restart"] == url_of(tenant)


def test_a_client_at_the_horizon_goes_on(api: APIClient, tenant: Tenant) -> None:
    ItemFactory(tenant=tenant)
    make_old()
    start = cursor(api, url_of(tenant))

    prune_items()
    new = ItemFactory(tenant=tenant)

    answer = api.get(url_of(tenant), {"since": start})
    assert answer.status_code == 200
    assert [row["id"] for row in answer.json()["items"]] == [new.pk]


def test_a_client_ahead_of_the_horizon_misses_nothing(api: APIClient, tenant: Tenant) -> None:
    old = ItemFactory(tenant=tenant)
    start = cursor(api, url_of(tenant))
    gone, new = ItemFactory(tenant=tenant), ItemFactory(tenant=tenant)
    key = str(gone.pk)
    gone.delete()
    make_old(old)

    assert prune_items() == 1

    answer = api.get(url_of(tenant), {"since": start}).json()
    assert [row["id"] for row in answer["items"]] == [new.pk]
    assert answer["removed"] == [key]


def test_a_scope_that_lost_nothing_expires_for_nobody(api: APIClient, tenant: Tenant) -> None:
    quiet = TenantFactory()
    item = ItemFactory(tenant=tenant)
    starts = {url: cursor(api, url) for url in (url_of(quiet), url_of(tenant), url_of(tenant, quiet))}
    item.delete()
    make_old()

    prune_items()

    found = {url: api.get(url, {"since": start}).status_code for url, start in starts.items()}
    assert found == {url_of(quiet): 200, url_of(tenant): 410, url_of(tenant, quiet): 410}


def test_a_time_before_what_went_is_refused_and_one_after_it_is_not(api: APIClient, tenant: Tenant) -> None:
    ItemFactory(tenant=tenant)
    make_old()
    prune_items()
    before = Feed.objects.get(pk=feed_of(Item).id).pruned_before // 1000

    assert api.get(url_of(tenant), {"since": before - 10}).status_code == 410
    assert api.get(url_of(tenant), {"since": before + 10}).status_code == 200


def test_a_first_sync_gives_rows_whose_changes_went(api: APIClient, tenant: Tenant) -> None:
    items = ItemFactory.create_batch(3, tenant=tenant)
    make_old()

    prune_items()

    answer = api.get(url_of(tenant)).json()
    assert [row["id"] for row in answer["items"]] == [item.pk for item in items]


def test_another_feed_keeps_its_changes(tenant: Tenant) -> None:
    LogFactory()
    ItemFactory(tenant=tenant)
    settle_all(Log)
    settle_all()
    Change.objects.update(changed_at=1)
    before = Change.objects.filter(feed_id=feed_of(Log).id).count()

    prune_items()

    assert Change.objects.filter(feed_id=feed_of(Log).id).count() == before > 0
    assert poll_state(feed_of(Log), None, using="default").horizon == 0


def test_changes_go_in_batches() -> None:
    Log.objects.bulk_create(LogFactory.build_batch(BATCH + 1))
    settle_all(Log)
    Change.objects.update(changed_at=1)

    with CaptureQueriesContext(connection) as queries:
        count = prune(feed_of(Log), using="default")

    deletions = [query for query in queries if query["sql"].startswith("DELETE")]
    assert (count, len(deletions)) == (BATCH + 1, 2)
    state = poll_state(feed_of(Log), None, using="default")
    assert state.horizon == state.head


def test_changes_that_another_process_takes_meanwhile_are_not_counted(tenant: Tenant) -> None:
    ItemFactory(tenant=tenant)
    make_old()

    def interfere(execute: Any, sql: str, *arguments: Any) -> Any:
        if "pruned_before" in sql:
            with connection.cursor() as other:
                other.execute("DELETE FROM pollable_change")
        return execute(sql, *arguments)

    with connections["default"].execute_wrapper(interfere):
        assert prune_items() == 0
    assert poll_state(feed_of(Item), None, using="default").horizon == 0
