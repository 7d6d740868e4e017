"""`manage.py pollable`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from threading import Event, Thread

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import override_settings

from django_pollable import overload
from django_pollable.ledger import history, triggers
from django_pollable.ledger.options import feed_of
from django_pollable.ledger.tables import Change, Feed, PendingChange
from tests.services import Redis
from tests.shop.models import Log

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_reinstalled")]


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("pollable", *arguments, stdout=out)
    return out.getvalue()


@contextmanager
def held(table: str) -> Iterator[None]:
    """Hold `table` by a transaction of another connection that has written to it."""
    has_written, is_over = Event(), Event()

    def hold() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"UPDATE {table} SET text = 'held'")
            has_written.set()
            is_over.wait()
        connection.close()

    holder = Thread(target=hold)
    holder.start()
    has_written.wait()
    try:
        yield
    finally:
        is_over.set()
        holder.join()


def test_status_shows_each_feed() -> None:
    Log.objects.create(text="a")
    run("settle")

    assert f"shop.log: head {Feed.objects.get(name='shop.log').sequence}, horizon 0" in run("status")


def test_status_knows_a_feed_without_a_history() -> None:
    Feed.objects.all().delete()

    assert "shop.log: no history yet" in run("status")


def test_check_passes_after_migrate_and_names_what_is_missing() -> None:
    assert "triggers in place" in run("check")

    triggers.drop("default", ["shop_log"])

    with pytest.raises(CommandError, match="pollable install"):
        run("check")


def test_install_repairs_and_begins_a_new_epoch() -> None:
    before = Feed.objects.get(name="shop.log").epoch
    triggers.drop("default", ["shop_log"])

    assert " created, 0 dropped." in run("install")
    assert Feed.objects.get(name="shop.log").epoch != before


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time, and no lock of a table")
def test_install_tells_of_a_table_that_is_held_and_goes_on_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triggers, "LOCK_ATTEMPTS", 1)
    Log.objects.create(text="a")
    before = Feed.objects.get(name="shop.log").epoch
    triggers.drop("default", ["shop_log"])

    with held("shop_log"), pytest.raises(CommandError, match="The triggers of shop_log") as told:
        run("install")
    assert "pollable install" in str(told.value)
    with pytest.raises(CommandError):
        run("check")

    run("install")
    assert "triggers in place" in run("check")
    assert Feed.objects.get(name="shop.log").epoch not in (before, history.UNTRUSTED)


def test_sql_prints_what_install_would_run() -> None:
    assert run("sql").count("CREATE TRIGGER") == len(triggers.expected("default"))


def test_settle_numbers_everything_that_is_pending() -> None:
    Log.objects.bulk_create(Log(text=str(number)) for number in range(30))

    with override_settings(POLLABLE_SETTLE_BATCH=10):
        run("settle")

    assert not PendingChange.objects.exists()
    assert Change.objects.filter(feed_id=feed_of(Log).id).count() >= 30


def test_prune_forgets_what_is_older_than_the_retention() -> None:
    Log.objects.create(text="a")
    run("settle")
    Change.objects.update(changed_at=1)

    count = Change.objects.filter(feed_id=feed_of(Log).id).count()

    assert f"shop.log: {count} pruned" in run("prune")
    feed = Feed.objects.get(name="shop.log")
    assert feed.horizon == feed.sequence > 0


def test_epoch_begins_a_new_history() -> None:
    before = Feed.objects.get(name="shop.log").epoch

    run("epoch", "shop.log")

    assert Feed.objects.get(name="shop.log").epoch != before
    with pytest.raises(CommandError, match="no feed"):
        run("epoch", "shop.nothing")


def test_settle_forever_ends_when_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    Log.objects.create(text="a")

    def interrupt(seconds: float) -> None:
        if seconds:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)

    with pytest.raises(KeyboardInterrupt):
        run("settle", "--forever")
    assert connection.vendor == "sqlite" or not PendingChange.objects.exists()


def test_settle_forever_goes_on_when_the_database_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waited = []

    def interrupt(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            raise KeyboardInterrupt

    run("settle")  # Django's fields remember the name of their table when they are first asked for
    with monkeypatch.context() as patch:
        patch.setattr("time.sleep", interrupt)
        patch.setattr(PendingChange._meta, "db_table", "pollable_nothing")
        with pytest.raises(KeyboardInterrupt):
            run("settle", "--forever")

    assert waited == [1, 1, 1]
    assert capsys.readouterr().err.count("pollable_nothing") >= 3


def test_a_pause_is_seen_by_other_processes(redis: Redis) -> None:
    with override_settings(CACHES={"default": redis.cache}):
        assert "until `pollable resume`" in run("pause")
        assert overload.Switch().is_paused
        assert "Polls are paused." in run("status")
        assert "Polls go on." in run("resume")
        assert not overload.Switch().is_paused
        assert "for 30 s" in run("pause", "--seconds", "30")
        assert overload.Switch().is_paused


@pytest.mark.parametrize("backend", ["locmem.LocMemCache", "dummy.DummyCache"])
@pytest.mark.parametrize("action", ["pause", "resume"])
def test_a_pause_that_nobody_would_see_is_refused(backend: str, action: str) -> None:
    cache = {"default": {"BACKEND": f"django.core.cache.backends.{backend}"}}

    with override_settings(CACHES=cache), pytest.raises(CommandError, match="No other process would see it"):
        run(action)


def test_a_pause_tells_that_the_cache_is_down() -> None:
    cache = {"default": {"BACKEND": "tests.down.DownCache"}}

    with override_settings(CACHES=cache), pytest.raises(CommandError, match="cannot be reached: The cache is down"):
        run("pause")


def test_a_pause_lasts() -> None:
    with pytest.raises(CommandError, match="positive"):
        run("pause", "--seconds", "0")
