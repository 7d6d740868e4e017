"""Numbers are given after commit, by one process at a time, and never faster than the pace."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.test import override_settings

from django_pollable.exceptions import NotYetAvailable
from django_pollable.ledger import history, sequencer
from django_pollable.ledger.changes import COMMIT_SECONDS, ChangeLog
from django_pollable.ledger.options import feed_of
from django_pollable.ledger.pace import FULL_LOOK_SECONDS, NEXT_TRY_SECONDS, SETTLE_BURST, SETTLES_PER_SECOND, Pace
from django_pollable.ledger.sequencer import settle, settle_all
from django_pollable.ledger.state import AHEAD_SECONDS, next_modified_at
from django_pollable.ledger.tables import Change, Feed, PendingChange, Scope
from tests.clocks import Clock
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


def settle_logs() -> None:
    settle_all(feed_of(Log), using="default")


def texts() -> list[str]:
    keys = Change.objects.filter(feed_id=feed_of(Log).id).order_by("sequence").values_list("key", flat=True)
    found = {str(log.pk): log.text for log in Log.objects.all()}
    return [found[key] for key in keys if key in found]


def test_a_transaction_that_began_earlier_gets_the_later_number(other: Any) -> None:
    with other.cursor() as cursor:
        cursor.execute("INSERT INTO shop_log (text) VALUES ('early')")
    Log.objects.create(text="late")
    settle_logs()

    other.commit()
    settle_logs()

    assert texts() == ["late", "early"]


def test_a_locked_feed_is_served_as_it_stands(other: Any) -> None:
    Log.objects.create(text="first")
    settle_logs()
    Log.objects.create(text="second")
    with other.cursor() as cursor:
        cursor.execute("SELECT id FROM pollable_feed WHERE id = %s FOR UPDATE", [feed_of(Log).id])

    state = sequencer.poll_state(feed_of(Log), None, using="default")

    assert settle(feed_of(Log), using="default") is None
    assert state.has_pending
    assert texts() == ["first"]


def test_a_feed_is_known_to_be_settled_now(other: Any) -> None:
    assert not sequencer.is_settling(feed_of(Log), using="default")

    with other.cursor() as cursor:
        cursor.execute("SELECT id FROM pollable_feed WHERE id = %s FOR UPDATE", [feed_of(Log).id])

    assert sequencer.is_settling(feed_of(Log), using="default")


def test_who_may_not_lock_a_feed_goes_by_what_can_be_read(other: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not sequencer.is_settling(feed_of(Log), using="default")
    monkeypatch.setattr(Feed._meta, "db_table", "pollable_nothing")

    assert not sequencer.is_settling(feed_of(Log), using="default")


def test_where_nothing_is_pending_nothing_is_locked(django_assert_num_queries: Any) -> None:
    settle_logs()

    with django_assert_num_queries(1) as captured:
        settle_logs()
    assert "FOR UPDATE" not in captured[0]["sql"]


@override_settings(POLLABLE_SETTLE_BATCH=3)
def test_a_poll_settles_one_batch_at_the_most(other: Any) -> None:
    settle_logs()
    Log.objects.bulk_create(Log(text=str(number)) for number in range(7))

    taken = [settle(feed_of(Log), using="default") for _ in range(4)]

    assert taken == [3, 3, 1, 0]
    assert texts()[-7:] == [str(number) for number in range(7)]


def test_each_scope_has_a_head_of_its_own() -> None:
    one, two = Tenant.objects.create(name="1"), Tenant.objects.create(name="2")
    Item.objects.create(tenant=one)
    settle_all(feed_of(Item), using="default")
    heads = [sequencer.poll_state(feed_of(Item), (str(t.pk),), using="default").head for t in (one, two)]

    Item.objects.create(tenant=two)
    settle_all(feed_of(Item), using="default")

    assert sequencer.poll_state(feed_of(Item), (str(one.pk),), using="default").head == heads[0]
    assert sequencer.poll_state(feed_of(Item), (str(two.pk),), using="default").head > heads[1]


def test_a_feed_without_a_row_begins_its_history() -> None:
    settle_logs()
    Feed.objects.filter(pk=feed_of(Log).id).delete()

    state = sequencer.poll_state(feed_of(Log), None, using="default")

    assert (state.head, state.horizon) == (0, 0)
    assert Feed.objects.get(pk=feed_of(Log).id).epoch == state.epoch


def test_a_feed_that_cannot_be_settled_can_be_read(other: Any, caplog: pytest.LogCaptureFixture) -> None:
    settle_logs()
    Log.objects.create(text="unseen")

    def refuse(execute: Any, sql: str, *arguments: Any) -> Any:
        if "FOR UPDATE" in sql:
            raise DatabaseError("cannot execute SELECT FOR UPDATE in a read-only transaction")
        return execute(sql, *arguments)

    with connections["default"].execute_wrapper(refuse), caplog.at_level(logging.WARNING):
        state = sequencer.poll_state(feed_of(Log), None, using="default")

    assert state.has_pending
    assert "could not be settled" in caplog.text


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(sequencer, "_pace", Pace(found))
    return found


def test_polls_settle_in_a_burst_and_then_at_a_pace() -> None:
    clock = Clock()
    pace = Pace(clock)

    burst = [pace.may_settle(("default", 1)) for _ in range(int(SETTLE_BURST) + 1)]

    assert burst == [True] * int(SETTLE_BURST) + [False]
    assert pace.may_settle(("default", 2))
    clock.now += 1.01 / SETTLES_PER_SECOND
    assert pace.may_settle(("default", 1))
    assert not pace.may_settle(("default", 1))


def test_all_notes_are_looked_at_once_in_a_while_and_sooner_where_a_look_was_in_vain() -> None:
    clock = Clock()
    pace = Pace(clock)
    place = "default", 1

    assert pace.is_full_look_due(place)
    pace.looked(place, is_complete=True)
    clock.now += FULL_LOOK_SECONDS / 2
    assert not pace.is_full_look_due(place)
    clock.now += FULL_LOOK_SECONDS / 2
    assert pace.is_full_look_due(place)
    pace.looked(place, is_complete=False)
    assert not pace.is_full_look_due(place)
    clock.now += NEXT_TRY_SECONDS
    assert pace.is_full_look_due(place)


def test_a_poll_beyond_the_pace_leaves_the_changes_to_a_later_one(other: Any, clock: Clock) -> None:
    settle_logs()
    sequencer.poll_state(feed_of(Log), None, using="default")  # the full look
    for number in range(int(SETTLE_BURST) + 2):
        Log.objects.create(text=str(number))
        sequencer.poll_state(feed_of(Log), None, using="default")

    assert sequencer.poll_state(feed_of(Log), None, using="default").has_pending
    settle_logs()
    assert not sequencer.read_state(feed_of(Log), None, using="default").has_pending  # type: ignore[union-attr]


def in_another_process(action: Callable[[], Any]) -> None:
    """Run `action` with connections of its own."""

    def run() -> None:
        action()
        connections.close_all()

    thread = Thread(target=run)
    thread.start()
    thread.join()


def test_a_late_commit_is_seen_within_a_second_however_busy_the_feed(other: Any, clock: Clock) -> None:
    with other.cursor() as cursor:
        cursor.execute("INSERT INTO shop_log (text) VALUES ('early')")
    for number in range(int(SETTLE_BURST) + 2):
        Log.objects.create(text=str(number))
        sequencer.poll_state(feed_of(Log), None, using="default")
    other.commit()

    clock.now += FULL_LOOK_SECONDS
    sequencer._pace._tokens = {("default", feed_of(Log).id): (0.0, clock.now)}
    sequencer.poll_state(feed_of(Log), None, using="default")

    assert "early" in texts()


def test_a_transaction_that_reads_the_past_gives_no_numbers(other: Any) -> None:
    """A number that is newer than the rows beside it would hide what came between."""
    settle_logs()
    Log.objects.create(text="first")
    head = Feed.objects.get(pk=feed_of(Log).id).sequence
    of = "" if connection.vendor == "mysql" else "CHARACTERISTICS AS "
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SET SESSION {of}TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        with transaction.atomic():
            assert Log.objects.count() == 1

            def write_and_settle() -> None:
                Log.objects.create(text="second")
                settle_logs()

            in_another_process(write_and_settle)
            state = sequencer.poll_state(feed_of(Log), None, using="default")
            assert (state.head, texts()) == (head, [])
    finally:
        connection.close()

    assert texts() == ["first", "second"]


@pytest.fixture
def elsewhere(other: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The router sends writes to another database than the one that is polled, in which there is a row."""
    Log.objects.create(text="there")
    monkeypatch.setattr(sequencer.router, "db_for_write", lambda _model: "elsewhere")


@pytest.mark.usefixtures("elsewhere")
def test_polls_settle_in_a_database_that_the_view_names() -> None:
    assert not sequencer.poll_state(feed_of(Log), None, using="default").has_pending
    assert sequencer.primary_of(feed_of(Log), using="default") == "default"


@pytest.mark.usefixtures("elsewhere")
def test_polls_leave_a_replica_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sequencer.READ_ONLY, connection.vendor, "SELECT 1")

    assert sequencer.poll_state(feed_of(Log), None, using="default").head == 0
    assert sequencer.primary_of(feed_of(Log), using="default") == "elsewhere"
    Feed._base_manager.using("default").filter(pk=feed_of(Log).id)._raw_delete("default")
    with pytest.raises(NotYetAvailable):
        sequencer.poll_state(feed_of(Log), None, using="default")


@pytest.mark.parametrize("via", ["nothing__pk", "id"])
def test_a_note_that_nobody_understands_begins_a_new_epoch(other: Any, via: str) -> None:
    """The models have changed since it was taken, so that it is not known what it meant."""
    settle_logs()
    epoch = Feed.objects.get(pk=feed_of(Log).id).epoch
    Log.objects.create(text="there")
    PendingChange.objects.create(feed_id=feed_of(Log).id, via=via, key="no number")

    settle_logs()

    assert Feed.objects.get(pk=feed_of(Log).id).epoch != epoch
    assert texts() == ["there"]
    assert not PendingChange.objects.filter(feed_id=feed_of(Log).id).exists()


def test_an_object_that_comes_again_has_a_new_place_among_the_first() -> None:
    log = Log.objects.create(text="one")
    settle_logs()
    key = Change.objects.get(feed_id=feed_of(Log).id, key=str(log.pk))
    Log.objects.filter(pk=log.pk).update(text="two")
    settle_logs()
    assert Change.objects.get(feed_id=key.feed_id, key=key.key).first_sequence == key.first_sequence

    Log.objects.filter(pk=log.pk).delete()
    settle_logs()
    Log.objects.create(pk=log.pk, text="three")
    settle_logs()

    found = Change.objects.get(feed_id=key.feed_id, key=key.key)
    assert found.first_sequence == found.sequence > key.sequence


def test_a_new_epoch_hides_what_was_before_it_from_those_who_ask_by_time() -> None:
    Log.objects.create(text="one")
    settle_logs()
    before = Feed.objects.get(pk=feed_of(Log).id)

    history.renew(feed_of(Log), "default")

    after = Feed.objects.get(pk=feed_of(Log).id)
    assert after.epoch != before.epoch
    assert after.pruned_before >= Change.objects.filter(feed_id=after.id).latest("sequence").changed_at
    assert after.modified_at > before.modified_at
    assert Scope.objects.get(feed_id=after.id).modified_at == after.modified_at


def test_each_batch_of_changes_has_a_second_of_its_own_whatever_the_clock_does() -> None:
    now = int(time.time())
    burst = [now]
    for _ in range(3 * AHEAD_SECONDS):
        burst.append(next_modified_at(burst[-1], now))

    assert burst[: AHEAD_SECONDS + 1] == list(range(now, now + AHEAD_SECONDS + 1))
    assert max(burst) == next_modified_at(max(burst), now) == now + AHEAD_SECONDS + 1
    assert next_modified_at(now, now - 3600) == now + 1


def test_a_time_reaches_back_as_long_as_a_write_may_have_waited_for_its_commit() -> None:
    """SQLite's triggers tell the time of the write: a client may have asked in between."""
    Log.objects.create(text="one")
    settle_logs()
    change = Change.objects.filter(feed_id=feed_of(Log).id).latest("sequence")
    log = ChangeLog(feed_of(Log), None, "default")

    later = log.position_at(change.changed_at + COMMIT_SECONDS * 1000)

    assert (log.position_at(change.changed_at) or 0) < change.sequence
    assert (later is not None) == (connection.vendor == "sqlite")
    assert log.position_at(change.changed_at + COMMIT_SECONDS * 1000 + 1) is None
