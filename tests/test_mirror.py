"""Mirrors: a mapping and a model that become equal to a feed, whatever happens on the way."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from typing import Any

import httpx2
import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from django_pollable.client.answers import Page
from django_pollable.client.machine import Checkpoint
from django_pollable.client.mirror import Mirror
from django_pollable.client.poller import Poller
from django_pollable.mirror.command import stopping_at_sigterm
from django_pollable.mirror.mirroring import ModelMirror
from django_pollable.mirror.models import Mark, StoredCheckpoint
from django_pollable.mirror.stores import AsyncDjangoStore, DjangoStore
from tests.copies.models import Folder, ItemCopy, Leaf
from tests.faulty import FaultyServer, Part, Request, answer, page, script
from tests.shop.models import Price

URL = "http://feed/items/"


def item(number: int, name: str = "") -> dict[str, Any]:
    return {"id": number, "name": name or str(number), "unknown": True}


class Feed:
    """Answers a poller with pages, one after another, then with 304."""

    def __init__(self, *pages: Any) -> None:
        self.pages = list(pages)
        self.asked: list[str] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(dict(request.url.params).get("since", ""))
        if not self.pages:
            return httpx2.Response(304)
        given = self.pages.pop(0)
        if isinstance(given, int):
            return httpx2.Response(given)
        return httpx2.Response(200, json=given, headers={"ETag": f'"{given["next_since"]}"'})

    def poller(self, store: Any = None) -> Poller:
        client = httpx2.Client(transport=httpx2.MockTransport(self))
        return Poller(URL, store=store, client=client, sleep=lambda _: None)


def mirror(model: Any, *pages: Any, **options: Any) -> ModelMirror:
    return ModelMirror(model, Feed(*pages).poller(DjangoStore()), **options)


def names() -> dict[int, str]:
    return dict(ItemCopy.objects.order_by("pk").values_list("pk", "name"))


def test_a_dict_becomes_equal_to_a_feed() -> None:
    kept = Mirror({"0": item(0)})
    feed = Feed(
        page("a", item(1), item(2), more=True, reset=True),
        page("b", item(3)),
        page("c", item(1, "new"), removed=["2", "99"]),
        page("d", item(4), reset=True),
    )
    poller = feed.poller()

    poller.catch_up(kept)
    assert list(kept.rows) == ["1", "2", "3"]
    poller.catch_up(kept)
    assert {key: row["name"] for key, row in kept.rows.items()} == {"1": "new", "3": "3"}
    poller.catch_up(kept)
    assert list(kept.rows) == ["4"]


keys = st.integers(0, 5)
pages = st.lists(
    st.tuples(
        st.booleans(), st.dictionaries(st.integers(0, 5), st.integers(0, 9)), st.sets(st.integers(0, 5)), st.booleans()
    )
)


@given(pages)
def test_a_mirror_is_the_fold_of_what_came_since_the_last_reset(sent: list[Any]) -> None:
    kept, wanted = Mirror(), dict[str, Any]()
    is_resetting = False
    for is_reset, rows, removed, more in sent:
        is_resetting = is_reset or is_resetting
        if is_reset:
            wanted = {}
        items = [{"id": key, "value": value} for key, value in rows.items() if key not in removed]
        wanted |= {str(row["id"]): row for row in items}
        gone = [str(key) for key in removed]
        wanted = {key: row for key, row in wanted.items() if key not in gone}
        delivered = Page(items, gone, "x", more, is_reset, is_resetting and not more)
        kept(delivered)
        kept(delivered)
        if not more:
            is_resetting = False
            assert kept.rows == wanted


@pytest.mark.django_db
def test_a_model_becomes_equal_to_a_feed() -> None:
    ItemCopy.objects.create(pk=9, name="of before")
    kept = mirror(
        ItemCopy,
        page("a", item(1), item(2), more=True, reset=True),
        page("b", item(3)),
        page("c", item(1, "new"), removed=["2", "99", "no number"]),
        page("d", removed=["3"]),
    )

    kept.catch_up()
    assert names() == {1: "1", 2: "2", 3: "3"}
    assert not Mark.objects.exists()
    kept.catch_up()
    assert names() == {1: "new", 3: "3"}
    kept.catch_up()
    assert names() == {1: "new"}
    assert StoredCheckpoint.objects.get().checkpoint["cursor"] == "d"
    assert str(StoredCheckpoint.objects.get()) == URL


@pytest.mark.django_db
def test_a_first_sync_goes_on_in_another_process_and_sweeps_rightly() -> None:
    ItemCopy.objects.create(pk=9, name="of before")
    mirror(ItemCopy, page("a", item(1), more=True, reset=True), 503).catch_up()
    assert names() == {1: "1", 9: "of before"}
    assert [str(mark) for mark in Mark.objects.all()] == ["1"]

    feed = Feed(page("b", item(2), more=True), page("c", item(3)))
    ModelMirror(ItemCopy, feed.poller(DjangoStore())).catch_up()

    assert feed.asked == ["a", "b"]
    assert names() == {1: "1", 2: "2", 3: "3"}


@pytest.mark.django_db
def test_a_reset_in_the_middle_of_a_first_sync_begins_to_mark_anew() -> None:
    mirror(
        ItemCopy,
        page("a", item(1), more=True, reset=True),
        page("b", item(2), more=True, reset=True),
        page("c", item(3), removed=["3"]),
    ).catch_up()

    assert names() == {2: "2"}


@pytest.mark.django_db
def test_a_page_that_fails_leaves_neither_rows_nor_a_checkpoint() -> None:
    kept = mirror(ItemCopy, page("a", item(1), {"name": "without a key"}, reset=True))

    with pytest.raises(ImproperlyConfigured, match="have no 'id'"):
        kept.catch_up()

    assert names() == {}
    assert not StoredCheckpoint.objects.exists()


@pytest.mark.django_db
def test_a_row_that_stands_twice_in_a_page_has_its_last_state() -> None:
    mirror(ItemCopy, page("a", item(1, "old"), item(2), item(1, "new"), removed=["2"], reset=True)).catch_up()

    assert names() == {1: "new"}


@pytest.mark.django_db
@pytest.mark.parametrize("bad", [{"id": None}, {"name": "x"}, "text", None, []])
def test_an_item_without_a_key_is_refused(bad: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="have no 'id'"):
        mirror(ItemCopy, page("a", bad, reset=True)).catch_up()


@pytest.mark.django_db
def test_a_sweep_of_many_rows_takes_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_pollable.mirror.mirroring.SWEEP_ROWS", 3)
    ItemCopy.objects.bulk_create(ItemCopy(pk=number, name="old") for number in range(1, 11))

    mirror(ItemCopy, page("a", item(2), item(7), more=True, reset=True), page("b", item(10))).catch_up()

    assert names() == {2: "2", 7: "7", 10: "10"}


@pytest.mark.django_db
def test_json_becomes_what_the_fields_hold() -> None:
    code, other = uuid.uuid4(), uuid.uuid4()
    mirror(Folder, page("a", {"code": str(code)}, {"code": str(other)}, reset=True)).catch_up()
    StoredCheckpoint.objects.all().delete()
    row = {"nr": "5", "folder": str(code), "at": "2026-01-02T03:04:05Z", "price": "1.50"}
    mirror(Leaf, page("a", row, {"nr": 6, "folder": str(other), "at": None}, reset=True), key="nr").catch_up()

    first, second = Leaf.objects.order_by("pk")
    assert (first.pk, first.folder_id, first.at) == (5, code, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert (first.price, second.price, second.at) == (Decimal("1.50"), 0, None)
    assert set(Folder.objects.values_list("pk", flat=True)) == {code, other}


@pytest.mark.django_db
def test_only_fields_that_every_item_has_are_overwritten() -> None:
    ItemCopy.objects.create(pk=1, name="old", count=5)

    mirror(ItemCopy, page("a", {"id": 1, "name": "new"}, {"id": 2, "name": "2", "count": 7}, reset=True)).catch_up()

    assert list(ItemCopy.objects.order_by("pk").values_list("name", "count")) == [("new", 5), ("2", 7)]


def test_what_cannot_be_mirrored_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"store=DjangoStore"):
        ModelMirror(ItemCopy, Feed().poller())
    with pytest.raises(ImproperlyConfigured, match="composite"):
        mirror(Price)


@pytest.mark.django_db
def test_a_checkpoint_of_django_goes_with_its_transaction(django_assert_num_queries: Any) -> None:
    store = DjangoStore()
    store.save("feed", Checkpoint("old"))
    with transaction.atomic():
        store.save("feed", Checkpoint("new", '"x"', True, 3))
        transaction.set_rollback(True)

    assert store.load("feed") == Checkpoint("old")
    with django_assert_num_queries(1):
        store.save("feed" * 1000, Checkpoint("new", '"x"', True, 3))
    assert store.load("feed" * 1000) == Checkpoint("new", '"x"', True, 3)
    assert store.load("other") is None
    store.close()


@pytest.mark.django_db(transaction=True)
def test_an_asynchronous_poller_can_use_the_database() -> None:
    async def act() -> Checkpoint | None:
        store = AsyncDjangoStore()
        await store.save("feed", Checkpoint("a"))  # type: ignore[func-returns-value]
        loaded: Checkpoint | None = await store.load("feed")  # type: ignore[misc]
        await sync_to_async(connections.close_all)()
        return loaded

    assert asyncio.run(act()) == Checkpoint("a")


@pytest.fixture
def feed() -> Iterator[FaultyServer]:
    first = answer(200, page("a", item(1), reset=True, more=True))
    with FaultyServer(script([first], [answer(200, page("b", item(2)))], [answer(401)])) as server:
        yield server


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("pollable", "mirror", *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.django_db
def test_the_command_mirrors_and_tells_its_progress(feed: FaultyServer) -> None:
    out = run(feed.url, "--to", "copies.ItemCopy", "--once", "--token", "secret").splitlines()

    assert names() == {1: "1", 2: "2"}
    assert out[0] == "page: 1 items, 0 removed, 1 rows of the first sync; next in 0.0 s"
    assert out[1].startswith("page: 1 items, 0 removed; next in ")
    assert feed.requests[0].headers["authorization"] == "Token secret"
    with pytest.raises(CommandError, match="status-401"):
        run(feed.url, "--to", "copies.ItemCopy")


@pytest.mark.django_db
@pytest.mark.parametrize("model", ["copies.Nothing", "nothing.ItemCopy", "nothing"])
def test_the_command_names_what_is_wrong(feed: FaultyServer, model: str) -> None:
    with pytest.raises(CommandError):
        run(feed.url, "--to", model)
    with pytest.raises(CommandError, match="http"):
        run("items/", "--to", "copies.ItemCopy")
    with pytest.raises(CommandError, match="does not answer: connect"):
        run("http://127.0.0.1:9/", "--to", "copies.ItemCopy", "--once")


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Let SIGINT be what it is at a terminal: a shell that has the tests run in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.django_db
@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_ends_at_a_signal(feed: FaultyServer, number: int) -> None:
    before = signal.getsignal(signal.SIGTERM)
    answers = script([answer(200, page("a", item(1), reset=True))], [answer(304)])

    def respond(request: Request) -> Iterable[Part]:
        if len(feed.requests) == 2:  # the first page has been taken in
            threading.Timer(0.2, os.kill, [os.getpid(), number]).start()
        return answers(request)

    feed.respond = respond
    run(feed.url, "--to", "copies.ItemCopy", "--interval", "0.1")

    assert names() == {1: "1"}
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.django_db
def test_the_command_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "django_pollable.client.transport", None)

    with pytest.raises(CommandError, match=r"django-pollable\[client\]"):
        run(URL, "--to", "copies.ItemCopy")


def test_signals_are_left_alone_in_a_thread() -> None:
    stopped: list[int] = []

    def act() -> None:
        with stopping_at_sigterm(lambda: stopped.append(1)):
            stopped.append(2)

    thread = threading.Thread(target=act)
    thread.start()
    thread.join()
    assert stopped == [2]


@override_settings(INSTALLED_APPS=["django_pollable"])
def test_the_command_needs_the_application() -> None:
    with pytest.raises(CommandError, match="INSTALLED_APPS"):
        run(URL, "--to", "copies.ItemCopy")
