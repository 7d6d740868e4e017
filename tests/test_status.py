"""How a feed does."""

from __future__ import annotations

import pytest
from django.db import transaction

from django_pollable.ledger import history
from django_pollable.ledger.options import feed_of
from django_pollable.ledger.sequencer import settle_all
from django_pollable.ledger.status import Census, FeedStatus, census_of, status_of
from django_pollable.ledger.tables import Change, Feed
from tests.shop.models import Log

pytestmark = pytest.mark.django_db(transaction=True)


def status() -> FeedStatus:
    found = status_of(feed_of(Log), "default")
    assert found is not None
    return found


def test_a_feed_without_history_has_no_status() -> None:
    Feed.objects.all().delete()

    assert status_of(feed_of(Log), "default") is None


def test_a_quiet_feed_tells_since_when() -> None:
    Change.objects.all().delete()
    before = status()
    Log.objects.create(text="a")
    settle_all(feed_of(Log), using="default")
    after = status()

    assert before.quiet_seconds is None
    assert after.quiet_seconds is not None
    assert 0 <= after.quiet_seconds < 60
    assert after.head > before.head
    assert after.pending == 0


def test_changes_without_a_number_are_pending_until_they_settle() -> None:
    if transaction.get_connection().vendor == "sqlite":
        pytest.skip("SQLite numbers at once")
    settle_all(feed_of(Log), using="default")
    Log.objects.create(text="a")
    pending = status().pending
    settle_all(feed_of(Log), using="default")

    assert (pending, status().pending) == (1, 0)


def test_a_census_counts_what_is_gone() -> None:
    settle_all(feed_of(Log), using="default")
    before = census_of(feed_of(Log), "default")
    gone = Log.objects.create(text="a")
    Log.objects.create(text="b")
    gone.delete()
    settle_all(feed_of(Log), using="default")

    after = census_of(feed_of(Log), "default")
    assert after == Census(before.changes + 2, before.tombstones + 1)


def test_a_feed_that_may_have_missed_a_change_is_not_trusted() -> None:
    before = status().is_trusted
    history.distrust(feed_of(Log), "default")

    assert (before, status().is_trusted) == (True, False)
    history.renew(feed_of(Log), "default")
