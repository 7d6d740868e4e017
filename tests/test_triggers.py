"""Triggers: which a database has, gets and loses, and what a gap means for clients."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import OperationalError, connection, connections, models, transaction
from django.db.backends.dummy.base import DatabaseWrapper as NoDatabase
from django.db.backends.signals import connection_created
from django.test.utils import CaptureQueriesContext, isolate_apps

from django_pollable.ledger import history, triggers
from django_pollable.ledger.options import Declaration, FeedOptions, feed_of, feeds
from django_pollable.ledger.sequencer import poll_state, settle
from django_pollable.ledger.tables import Change, Feed, PendingChange, Scope
from django_pollable.ledger.triggers import LOCK_ATTEMPTS
from django_pollable.ledger.watches import watches
from django_pollable.models import PollableModel
from django_pollable.signals import feed_reset
from tests.factories import AuthorFactory, ItemFactory, LabelFactory, LogFactory
from tests.shop.models import Capital, Item, Log, Price

pytestmark = pytest.mark.django_db(transaction=True)

only_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL can do that")


def execute(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def epoch(model: type[models.Model]) -> str:
    return str(Feed.objects.get(pk=feed_of(model).id).epoch)


def head(model: type[models.Model]) -> int:
    while settle(feed_of(model), using="default"):
        pass
    return poll_state(feed_of(model), None, using="default").head


def of(model: type[models.Model]) -> list[triggers.Trigger]:
    """Return the triggers that the feed of `model` should have."""
    return [trigger for trigger in triggers.expected("default") if trigger.feed_id == feed_of(model).id]


def installed_of(model: type[models.Model]) -> int:
    """Return how many triggers the feed of `model` has."""
    missing = triggers.compare("default").missing
    return sum(trigger not in missing for trigger in of(model))


def drop_by_hand(trigger: triggers.Trigger) -> None:
    write = triggers.dialect(connection)
    execute(*write.drop(trigger.name, write.place(trigger.table, connection), connection))


@pytest.fixture(autouse=True)
def _settled(_reinstalled: None) -> None:
    """Take the notes of the truncation with which the test before this ended."""
    for feed in feeds():
        while feed.is_on("default") and settle(feed, using="default"):
            pass


@pytest.fixture
def resets(_settled: None) -> Iterator[list[Any]]:
    """The models whose feeds began a new history, and why."""
    found: list[Any] = []

    def note(sender: Any, reason: str, **kwargs: Any) -> None:
        found.append((sender, reason))

    feed_reset.connect(note)
    yield found
    feed_reset.disconnect(note)


def test_migrate_installs_what_the_models_say() -> None:
    assert not triggers.compare("default")
    assert {trigger.feed_id for trigger in triggers.expected("default")} >= {feed_of(Item).id, feed_of(Log).id}


def test_install_changes_nothing_where_nothing_differs() -> None:
    before = epoch(Item)

    assert not triggers.install("default")
    assert epoch(Item) == before


@pytest.mark.parametrize("place", range(3))
def test_a_dropped_trigger_is_missed_and_put_back_with_a_new_epoch(place: int, resets: list[Any]) -> None:
    trigger, before, other = of(Item)[place], epoch(Item), epoch(Log)
    drop_by_hand(trigger)

    assert triggers.compare("default") == triggers.Difference((trigger,), ())
    assert triggers.install("default").missing == (trigger,)

    assert not triggers.compare("default")
    assert epoch(Item) != before
    assert (epoch(Log), resets) == (other, [(Item, "triggers")])


def test_a_dropped_trigger_of_a_followed_table_begins_a_new_epoch_too() -> None:
    trigger = next(trigger for trigger in of(Item) if trigger.table == "shop_author")
    before = epoch(Item)
    drop_by_hand(trigger)

    triggers.install("default")

    assert epoch(Item) != before


def test_a_trigger_of_an_older_text_is_replaced_with_a_new_epoch() -> None:
    trigger, before = of(Log)[0], epoch(Log)
    old = f"pollable_{feed_of(Log).id:08x}_{'0' * 12}_i"
    drop_by_hand(trigger)
    execute(*(statement.replace(trigger.name, old) for statement in trigger.create))

    assert triggers.compare("default") == triggers.Difference((trigger,), ((old, "shop_log"),))
    triggers.install("default")

    assert not triggers.compare("default")
    assert epoch(Log) != before


def test_a_trigger_too_many_is_dropped_with_a_new_epoch() -> None:
    trigger, before = of(Log)[0], epoch(Log)
    stale = f"pollable_{feed_of(Log).id:08x}_{'f' * 12}_i"
    execute(*(statement.replace(trigger.name, stale) for statement in trigger.create))

    assert triggers.install("default") == triggers.Difference((), ((stale, "shop_log"),))
    assert epoch(Log) != before


@only_postgresql
@pytest.mark.parametrize("state", ["DISABLE", "ENABLE REPLICA"])
def test_a_disabled_trigger_is_missed_and_put_back_in_force(state: str) -> None:
    trigger, before = of(Log)[0], epoch(Log)
    execute(f'ALTER TABLE shop_log {state} TRIGGER "{trigger.name}"')

    assert triggers.install("default").missing == (trigger,)

    start = head(Log)
    LogFactory()
    assert head(Log) == start + 1
    assert epoch(Log) != before


@only_postgresql
def test_a_trigger_that_fires_always_is_in_force() -> None:
    execute(f'ALTER TABLE shop_log ENABLE ALWAYS TRIGGER "{of(Log)[0].name}"')

    assert not triggers.compare("default")


@only_postgresql
def test_drop_takes_disabled_triggers_too() -> None:
    execute(f'ALTER TABLE shop_log DISABLE TRIGGER "{of(Log)[0].name}"')

    triggers.drop("default", ["shop_log"])
    execute("ALTER TABLE shop_log ENABLE TRIGGER ALL")

    assert installed_of(Log) == 0


def test_a_trigger_of_others_with_our_prefix_is_left_alone() -> None:
    trigger, before = of(Log)[0], epoch(Log)
    theirs = "pollable_audit_log"
    execute(*(statement.replace(trigger.name, theirs) for statement in trigger.create))

    try:
        triggers.install("default")
        assert not triggers.compare("default")
        assert epoch(Log) == before
    finally:
        execute(*triggers.dialect(connection).drop(theirs, "shop_log", connection))


@isolate_apps("tests.shop")
def test_a_feed_can_have_a_quote_in_its_name() -> None:
    feed = FeedOptions(Log, "the shop's log", Declaration())

    with transaction.atomic():
        execute(*(part for each in triggers.dialect(connection).own(feed, connection) for part in each.create))

    triggers.drop("default", ["shop_log"])


def test_drop_takes_the_triggers_of_the_feeds_that_it_is_told() -> None:
    triggers.drop("default", ["shop_log"])

    assert {trigger.feed_id for trigger in triggers.compare("default").missing} == {feed_of(Log).id}
    start, before = head(Item), head(Log)
    LogFactory()
    ItemFactory()
    assert (head(Log), head(Item)) == (before, start + 1)


def test_drop_takes_all_triggers_and_what_belongs_to_them() -> None:
    triggers.drop("default")

    assert len(triggers.compare("default").missing) == len(triggers.expected("default"))
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(r"SELECT proname FROM pg_proc WHERE proname LIKE 'pollable\_%'")
            assert cursor.fetchall() == []


def test_a_write_during_a_gap_is_told_by_the_new_epoch() -> None:
    LogFactory()
    before, start = epoch(Log), head(Log)
    triggers.drop("default", ["shop_log"])
    Log.objects.update(text="unseen")

    assert (epoch(Log), head(Log)) == (before, start)
    triggers.install("default")

    assert epoch(Log) != before


def test_a_feed_without_a_history_begins_one_without_a_reset(resets: list[Any]) -> None:
    triggers.drop("default", ["shop_log"])
    Feed.objects.filter(pk=feed_of(Log).id).delete()

    triggers.install("default")

    assert Feed.objects.filter(pk=feed_of(Log).id, sequence=0).exists()
    assert resets == []


def test_the_history_of_an_earlier_feed_of_that_name_is_forgotten() -> None:
    LogFactory()
    head(Log)
    Feed.objects.filter(pk=feed_of(Log).id).delete()

    history.begin(feed_of(Log), "default")
    history.begin(feed_of(Log), "default")

    assert not Change.objects.filter(feed_id=feed_of(Log).id).exists()
    assert not Scope.objects.filter(feed_id=feed_of(Log).id).exists()


def test_a_name_tells_the_feed_and_the_text_of_a_trigger() -> None:
    names = [trigger.name for trigger in triggers.expected("default")]

    assert len(set(names)) == len(names)
    assert all(len(name) < 64 for name in names)
    assert all(trigger.name.startswith(f"pollable_{feed_of(Log).id:08x}_") for trigger in of(Log))


def test_a_database_without_the_ledger_or_feeds_has_no_triggers() -> None:
    call_command("migrate", "pollable", "zero", verbosity=0)
    try:
        assert triggers.expected("default") == []
        assert not triggers.compare("default")
        LogFactory()
    finally:
        call_command("migrate", "pollable", verbosity=0)

    start = head(Log)
    LogFactory()
    assert head(Log) == start + 1
    assert not triggers.compare("default")


def test_a_feed_whose_tables_are_not_complete_has_no_triggers_yet() -> None:
    execute("ALTER TABLE shop_price RENAME TO shop_elsewhere")
    try:
        assert of(Price) == []
        assert of(Log)
    finally:
        execute("ALTER TABLE shop_elsewhere RENAME TO shop_price")

    assert of(Price)


def test_a_feed_whose_columns_are_not_complete_has_no_triggers_yet() -> None:
    triggers.drop("default")
    execute("ALTER TABLE shop_note RENAME COLUMN text TO words")
    try:
        assert of(Item) == []
        assert of(Log)
    finally:
        execute("ALTER TABLE shop_note RENAME COLUMN words TO text")

    assert of(Item)


@only_postgresql
def test_a_renamed_table_keeps_its_triggers() -> None:
    before = [trigger.name for trigger in of(Log)]

    execute("ALTER TABLE shop_log RENAME TO shop_journal")
    try:
        with isolate_apps("tests.shop"):

            class Journal(PollableModel):
                text = models.CharField(max_length=50)

                class Meta:
                    app_label = "shop"
                    db_table = "shop_journal"

        feed = FeedOptions(Journal, "shop.log", Declaration())
        assert [trigger.name for trigger in triggers.postgresql.own(feed, connection)] == before
    finally:
        execute("ALTER TABLE shop_journal RENAME TO shop_log")


@pytest.mark.skipif(connection.vendor != "mysql", reason="a habit of MySQL's tools for changes of the schema")
def test_a_table_that_is_swapped_for_a_copy_of_it_gets_triggers_and_a_new_epoch() -> None:
    before = epoch(Log)
    execute("CREATE TABLE shop_log_new LIKE shop_log", "INSERT INTO shop_log_new SELECT * FROM shop_log")
    execute("RENAME TABLE shop_log TO shop_log_old, shop_log_new TO shop_log")

    assert installed_of(Log) == 0
    triggers.install("default")

    assert (installed_of(Log), epoch(Log) == before) == (len(of(Log)), False)
    execute("DROP TABLE shop_log_old")


def test_another_database_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="no triggers for"):
        triggers.dialect(NoDatabase({}))


class Refusal:
    """A database that is locked for the first `times` statements that create a trigger."""

    def __init__(self, times: int) -> None:
        self.left, self.seen = times, 0

    def __call__(self, execute: Any, sql: str, *arguments: Any) -> Any:
        if "CREATE TRIGGER" in sql:
            self.seen += 1
            if self.left:
                self.left -= 1
                raise OperationalError("canceling statement due to lock timeout")
        return execute(sql, *arguments)


def test_a_locked_table_is_tried_again() -> None:
    drop_by_hand(of(Log)[0])
    refusal, pauses = Refusal(LOCK_ATTEMPTS - 1), Mock()

    with connections["default"].execute_wrapper(refusal):
        triggers.install("default", sleep=pauses)

    assert refusal.seen == LOCK_ATTEMPTS
    assert pauses.call_count == LOCK_ATTEMPTS - 1
    assert not triggers.compare("default")


def test_a_table_that_stays_locked_is_an_error() -> None:
    drop_by_hand(of(Log)[0])
    refusal = Refusal(99)

    with connections["default"].execute_wrapper(refusal), pytest.raises(OperationalError, match="lock timeout") as told:
        triggers.install("default", sleep=Mock())

    assert refusal.seen == LOCK_ATTEMPTS
    assert "shop_log" in told.value.__notes__[0]


def test_inside_a_transaction_a_locked_table_is_an_error_at_once() -> None:
    drop_by_hand(of(Log)[0])
    refusal = Refusal(99)

    with pytest.raises(OperationalError), transaction.atomic(), connections["default"].execute_wrapper(refusal):
        triggers.install("default")

    assert refusal.seen == 1


def test_the_lock_timeout_of_the_session_is_what_it_was_before_the_installation() -> None:
    """A migration after it waits for writers as long as it would without us."""
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has no limit for one kind of lock")
    setting = "lock_timeout" if connection.vendor == "postgresql" else "SESSION VARIABLES LIKE 'lock_wait_timeout'"
    drop_by_hand(of(Log)[0])
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {setting}")
        before = cursor.fetchone()

        triggers.install("default")

        cursor.execute(f"SHOW {setting}")
        assert cursor.fetchone() == before


@only_postgresql
def test_a_writer_with_another_role_and_search_path_is_seen() -> None:
    role, start = f"writer_{os.getpid()}", head(Log)

    with transaction.atomic():
        execute(
            f"CREATE ROLE {role}",
            "CREATE SCHEMA elsewhere",
            "CREATE TABLE elsewhere.pollable_pendingchange (LIKE public.pollable_pendingchange)",
            f"GRANT USAGE ON SCHEMA public, elsewhere TO {role}",
            f"GRANT INSERT ON public.shop_log, elsewhere.pollable_pendingchange TO {role}",
            f"SET LOCAL ROLE {role}",
            "SET LOCAL search_path = elsewhere",
            "INSERT INTO public.shop_log (id, text) VALUES (901, 'a')",
            "RESET ROLE",
            "SET LOCAL search_path = public",
        )
        assert head(Log) == start + 1
        transaction.set_rollback(True)


@only_postgresql
def test_a_writer_without_rights_to_the_ledger_cannot_write_to_it() -> None:
    role = f"writer_{os.getpid()}"

    with transaction.atomic():
        execute(f"CREATE ROLE {role}", f"SET LOCAL ROLE {role}")
        with pytest.raises(Exception, match="permission denied"), transaction.atomic():
            PendingChange.objects.create(feed_id=feed_of(Log).id)
        transaction.set_rollback(True)


@only_postgresql
@pytest.mark.parametrize("table", ["shop_item", "shop_part", "shop_item_labels"])
def test_a_truncated_table_begins_a_new_epoch(table: str, resets: list[Any]) -> None:
    ItemFactory(labels=[LabelFactory()])
    head(Item)
    before, other = epoch(Item), epoch(Log)

    execute(f"TRUNCATE {table} CASCADE")
    head(Item)

    assert epoch(Item) != before
    assert (epoch(Log), resets) == (other, [(Item, "table")])


@only_postgresql
def test_a_truncation_in_a_batch_with_writes_loses_none_of_them() -> None:
    LogFactory()
    start = head(Log)

    execute("TRUNCATE shop_log")
    LogFactory.create_batch(2)

    assert head(Log) == start + 2


def test_a_statement_that_writes_many_rows_notes_each_of_them() -> None:
    start = head(Log)

    Log.objects.bulk_create(LogFactory.build_batch(25))

    assert head(Log) == start + 25


def test_an_update_of_nothing_writes_nothing() -> None:
    LogFactory()
    start = head(Log)

    Log.objects.filter(pk=0).update(text="b")
    Log.objects.filter(pk=0).delete()

    assert head(Log) == start


@pytest.mark.parametrize("model", [Item, Capital])
def test_a_table_that_a_feed_follows_is_watched(model: type[models.Model]) -> None:
    tables = {trigger.table for trigger in of(model)}

    assert tables == {model._meta.db_table, *(watch.table for watch in watches(feed_of(model)))}


def test_comparing_reads_only_the_catalogue() -> None:
    AuthorFactory()

    with CaptureQueriesContext(connection) as queries:
        triggers.compare("default")

    assert not [query for query in queries if query["sql"].split()[0] in ("INSERT", "UPDATE", "DELETE", "CREATE")]


def test_an_installation_that_was_interrupted_is_finished_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the last trigger and the new epoch nothing would tell that a change may have been missed."""
    before = epoch(Log)
    drop_by_hand(of(Log)[0])
    with monkeypatch.context() as patched:
        patched.setattr(history, "renew", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            triggers.install("default")

    assert triggers.compare("default") == triggers.Difference(untrusted=("shop.log",))
    triggers.install("default")

    assert not triggers.compare("default")
    assert epoch(Log) not in (before, history.UNTRUSTED)


@only_postgresql
@isolate_apps("tests.shop")
def test_a_table_in_another_schema_is_found_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Legacy(PollableModel):
        Text = models.CharField(max_length=50)

        class Meta:
            app_label = "shop"
            db_table = '"old_Things"."Legacy"'

    feed = FeedOptions(Legacy, "legacy", Declaration())
    monkeypatch.setattr(triggers, "feeds", lambda: [*feeds(), feed])
    execute('CREATE SCHEMA "old_Things"', 'CREATE TABLE "old_Things"."Legacy" (id bigserial, "Text" varchar(50))')
    try:
        assert triggers.install("default").waiting == ()
        assert not triggers.compare("default")
        execute("""INSERT INTO "old_Things"."Legacy" ("Text") VALUES ('new')""")
        assert PendingChange.objects.filter(feed_id=feed.id).count() == 1
        triggers.drop("default", [Legacy._meta.db_table])
        assert len(triggers.compare("default").missing) == 4
    finally:
        execute('DROP SCHEMA "old_Things" CASCADE')
        PendingChange.objects.filter(feed_id=feed.id).delete()
        Feed.objects.filter(pk=feed.id).delete()


@only_postgresql
def test_the_triggers_of_another_ledger_are_left_alone() -> None:
    """A database may hold one in each schema."""
    trigger = of(Log)[0]
    execute("CREATE SCHEMA tenant2", "CREATE TABLE tenant2.shop_log (LIKE shop_log)")
    try:
        execute(
            *(
                statement.replace('"public".', "tenant2.").replace('"shop_log"', "tenant2.shop_log")
                for statement in trigger.create
            )
        )
        assert not triggers.compare("default")
    finally:
        execute("DROP SCHEMA tenant2 CASCADE")


def test_columns_are_found_as_the_database_finds_them() -> None:
    """MySQL and SQLite know a column in any case."""
    if connection.vendor == "postgresql":
        pytest.skip("PostgreSQL tells cases apart")
    assert triggers._answers("shop_log", ["TEXT"], connection)
    assert not triggers._answers("shop_log", ["nothing"], connection)


def test_a_projects_own_triggers_are_not_made_recursive() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite has such a mode")

    def mode() -> int:
        connection_created.send(type(connection), connection=connection)
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA recursive_triggers")
            return int(cursor.fetchone()[0])

    assert mode() == 1
    execute(
        "PRAGMA recursive_triggers = OFF",
        "CREATE TRIGGER touch AFTER UPDATE ON shop_log BEGIN UPDATE shop_log SET text = text || '!'; END",
    )
    try:
        assert mode() == 0
        LogFactory()
        Log.objects.update(text="b")
        assert Log.objects.get().text == "b!"
    finally:
        execute("DROP TRIGGER touch", "PRAGMA recursive_triggers = ON")
