"""The signals: when they are sent, with what, and that receivers break nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.dispatch import Signal
from django.test import override_settings
from rest_framework.test import APIClient

from django_pollable.ledger import history
from django_pollable.ledger.options import feed_of
from django_pollable.ledger.sequencer import settle_all
from django_pollable.signals import changes_settled, feed_reset, page_shared, poll_answered
from tests.factories import ItemFactory
from tests.shop.models import Item
from tests.shop.views import File, OpenItems

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def received(signal: Signal) -> Iterator[list[dict[str, Any]]]:
    """Give what the signal's receivers get; one of them fails each time."""
    found: list[dict[str, Any]] = []

    def note(**kwargs: Any) -> None:
        found.append(kwargs)
        raise LookupError("a receiver's bug")

    signal.connect(note)
    try:
        yield found
    finally:
        signal.disconnect(note)


@pytest.fixture
def url() -> str:
    return f"/open/{ItemFactory().tenant.pk}/items/"


def test_poll_answered_is_sent_for_each_get_and_head(api: APIClient, url: str) -> None:
    with received(poll_answered) as found:
        answers = [api.get(url), api.head(url), api.get(url, {"limit": 0})]
        api.options(url)

    assert (
        [one["response"].status_code for one in found] == [answer.status_code for answer in answers] == [200, 200, 400]
    )
    assert {one["sender"] for one in found} == {OpenItems}
    assert [one["request"].method for one in found] == ["GET", "HEAD", "GET"]


def test_poll_answered_is_sent_for_refusals_too(api: APIClient) -> None:
    with received(poll_answered) as found:
        assert api.get("/tenants/1/items/").status_code == 401

    assert [one["response"].status_code for one in found] == [401]


def test_poll_answered_is_sent_for_ranges(api: APIClient, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"one")

    with override_settings(MEDIA_ROOT=tmp_path), received(poll_answered) as found:
        api.get("/files/log", headers={"Range": "bytes=1-"}).close()
        api.get("/files/log", headers={"Range": "bytes=3-"})

    assert [(one["sender"], one["response"].status_code) for one in found] == [(File, 206), (File, 416)]


def test_page_shared_tells_who_has_rendered(api: APIClient, url: str) -> None:
    with received(page_shared) as found:
        pages = [api.get(url) for _ in range(2)]

    assert [page.status_code for page in pages] == [200, 200]
    assert [(one["sender"], one["outcome"]) for one in found] == [(OpenItems, "rendered"), (OpenItems, "hit")]


def test_changes_settled_is_sent_after_the_commit(url: str) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite numbers at once")
    settle_all(feed_of(Item), using="default")
    ItemFactory()

    with received(changes_settled) as found:
        with transaction.atomic():
            settle_all(feed_of(Item), using="default")
            assert found == []
        settle_all(feed_of(Item), using="default")

    assert [(one["sender"], one["using"], one["count"]) for one in found] == [(Item, "default", 1)]
    assert 0 < found[0]["seconds"] < 60


def test_feed_reset_is_sent_after_the_commit_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with received(feed_reset) as found, caplog.at_level(logging.WARNING, "django_pollable"):
        with transaction.atomic():
            history.renew(feed_of(Item), "default")
            assert found == []
        (record,) = (record for record in caplog.records if record.name.startswith("django_pollable"))

    assert [(one["sender"], one["using"], one["reason"]) for one in found] == [(Item, "default", "operator")]
    assert record.__dict__["pollable_event"] == "feed-reset"
    assert record.__dict__["pollable_reason"] == "operator"
