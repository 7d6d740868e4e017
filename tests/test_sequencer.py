"""Numbers are given after commit, by one process at a time, and never faster than the pace."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections
from django.test import override_settings

from django_pollable.ledger import sequencer
from django_pollable.ledger.options import feed_of
from django_pollable.ledger.sequencer import FULL_LOOK_SECONDS, SETTLE_BURST, SETTLES_PER_SECOND, Pace, settle
from django_pollable.ledger.tables import Change, Feed
from tests.shop.models import Item, Log, Tenant

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def other() -> Iterator[Any]:
    """A second connection to the database."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite's triggers give the numbers: there is nothing to settle")
    copy = connection.copy()
    copy.set_autocommit(False)
    yield copy
    copy.rollback()
    copy.close()


def settle_all(model: Any = Log) -> None:
    while settle(feed_of(model), using="default"):
        pass


def texts() -> list[str]:
    keys = Change.objects.filter(feed_id=feed_of(Log).id).order_by("sequence").values_list("key", flat=True)
    found = {str(log.pk): log.text for log in Log.objects.all()}
    return [found[key] for key in keys if key in found]


def test_a_transaction_that_began_earlier_gets_the_later_number(other: Any) -> None:
    with other.cursor() as cursor:
        cursor.execute("INSERT INTO shop_log (text) VALUES ('early')")
    Log.objects.create(text="late")
    settle_all()

    other.commit()
    settle_all()

    assert texts() == ["late", "early"]


def test_a_locked_feed_is_served_as_it_stands(other: Any) -> None:
    Log.objects.create(text="first")
    settle_all()
    Log.objects.create(text="second")
    with other.cursor() as cursor:
        cursor.execute("SELECT id FROM pollable_feed WHERE id = %s FOR UPDATE", [feed_of(Log).id])

    state = sequencer.poll_state(feed_of(Log), None, using="default")

    assert settle(feed_of(Log), using="default") == 0
    assert state.has_pending
    assert texts() == ["first"]


@override_settings(POLLABLE_SETTLE_BATCH=3)
def test_a_poll_settles_one_batch_at_the_most(other: Any) -> None:
    settle_all()
    Log.objects.bulk_create(Log(text=str(number)) for number in range(7))

    taken = [settle(feed_of(Log), using="default") for _ in range(4)]

    assert taken == [3, 3, 1, 0]
    assert texts()[-7:] == [str(number) for number in range(7)]


def test_each_scope_has_a_head_of_its_own() -> None:
    one, two = Tenant.objects.create(name="1"), Tenant.objects.create(name="2")
    Item.objects.create(tenant=one)
    settle_all(Item)
    heads = [sequencer.poll_state(feed_of(Item), (str(t.pk),), using="default").head for t in (one, two)]

    Item.objects.create(tenant=two)
    settle_all(Item)

    assert sequencer.poll_state(feed_of(Item), (str(one.pk),), using="default").head == heads[0]
    assert sequencer.poll_state(feed_of(Item), (str(two.pk),), using="default").head > heads[1]


def test_a_feed_without_a_row_begins_its_history() -> None:
    settle_all()
    Feed.objects.filter(pk=feed_of(Log).id).delete()

    state = sequencer.poll_state(feed_of(Log), None, using="default")

    assert (state.head, state.horizon) == (0, 0)
    assert Feed.objects.get(pk=feed_of(Log).id).epoch == state.epoch


def test_a_feed_that_cannot_be_settled_can_be_read(other: Any, caplog: pytest.LogCaptureFixture) -> None:
    settle_all()
    Log.objects.create(text="unseen")

    def refuse(execute: Any, sql: str, *arguments: Any) -> Any:
        if "FOR UPDATE" in sql:
            raise DatabaseError("cannot execute SELECT FOR UPDATE in a read-only transaction")
        return execute(sql, *arguments)

    with connections["default"].execute_wrapper(refuse), caplog.at_level(logging.WARNING):
        state = sequencer.poll_state(feed_of(Log), None, using="default")

    assert state.has_pending
    assert "could not be settled" in caplog.text


def test_polls_settle_in_a_burst_and_then_at_a_pace() -> None:
    pace = Pace()

    burst = [pace.may_settle("default", 1, 100.0) for _ in range(int(SETTLE_BURST) + 1)]

    assert burst == [True] * int(SETTLE_BURST) + [False]
    assert pace.may_settle("default", 2, 100.0)
    assert pace.may_settle("default", 1, 100.0 + 1.01 / SETTLES_PER_SECOND)
    assert not pace.may_settle("default", 1, 100.0 + 1.01 / SETTLES_PER_SECOND)


def test_all_notes_are_looked_at_once_in_a_while() -> None:
    pace = Pace()

    looks = [pace.is_full_look_due("default", 1, now) for now in (0.0, FULL_LOOK_SECONDS / 2, FULL_LOOK_SECONDS)]

    assert looks == [True, False, True]


def test_a_poll_beyond_the_pace_leaves_the_changes_to_a_later_one(other: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settle_all()
    monkeypatch.setattr(sequencer.time, "monotonic", lambda: 100.0)
    for number in range(int(SETTLE_BURST) + 2):
        Log.objects.create(text=str(number))
        sequencer.poll_state(feed_of(Log), None, using="default")

    assert sequencer.poll_state(feed_of(Log), None, using="default").has_pending
    settle_all()
    assert not sequencer.read_state(feed_of(Log), None, using="default").has_pending  # type: ignore[union-attr]
