"""The admin's pages of feeds and scopes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import OperationalError, connection, connections
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from django_pollable.admin import feeds, scopes
from django_pollable.ledger import history
from django_pollable.ledger.options import FeedOptions, feed_of
from django_pollable.ledger.sequencer import settle_all
from django_pollable.ledger.tables import Change, Feed, PendingChange, Scope
from tests.factories import ItemFactory, TenantFactory
from tests.shop.models import ArchivedItem, Item, Log

pytestmark = pytest.mark.django_db(databases=["default", "archive"])

FEEDS = "/admin/pollable/feed/"
SCOPES = "/admin/pollable/scope/"
LOG, ITEM, ARCHIVED = feed_of(Log), feed_of(Item), feed_of(ArchivedItem)


@pytest.fixture
def admin(admin_client: Client) -> Client:
    return admin_client


@pytest.fixture
def viewer() -> Client:
    """A user of the admin who may look, and do nothing."""
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_feed", "view_scope"]))
    client = Client()
    client.force_login(user)
    return client


def page_of(feed: FeedOptions) -> str:
    return f"{FEEDS}{feed.id}/change/"


def text_of(response: Any) -> str:
    """Return what a page says, without its marks."""
    assert response.status_code == 200
    return " ".join(re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", response.content.decode(), flags=re.DOTALL).split())


def act(client: Client, action: str, *chosen: FeedOptions, using: str = "", **data: str) -> Any:
    """Run an action, and return the page that the user sees then."""
    posted = {"action": action, ACTION_CHECKBOX_NAME: [str(feed.id) for feed in chosen], **data}
    return client.post(f"{FEEDS}?using={using}" if using else FEEDS, posted, follow=True)


def epoch_of(feed: FeedOptions, using: str = "default") -> str:
    return Feed.objects.using(using).get(pk=feed.id).epoch


def logged() -> list[str]:
    return [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]


def test_the_list_tells_how_each_feed_does(admin: Client) -> None:
    Log.objects.create(text="a")
    pending = PendingChange.objects.filter(feed_id=LOG.id).count()
    head = Feed.objects.get(pk=LOG.id).sequence

    text = text_of(admin.get(FEEDS))

    assert "shop.item" in text
    assert re.search(rf"shop\.log {head} (-|\w+\. .* ago\)) {pending} 0 ", text)


def test_the_list_costs_the_same_however_much_has_changed(admin: Client) -> None:
    counts = []
    for number in (1, 20):
        ItemFactory.create_batch(number)
        settle_all(ITEM, using="default")
        admin.get(FEEDS)
        with CaptureQueriesContext(connection) as queries:
            admin.get(FEEDS)
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_a_feed_that_may_have_missed_a_change_is_seen(admin: Client) -> None:
    before = admin.get(FEEDS).content.decode().count("icon-no.svg")
    history.distrust(LOG, "default")

    assert (before, admin.get(FEEDS).content.decode().count("icon-no.svg")) == (0, 2)
    assert "untrusted: shop.log, which may have missed a change" in text_of(admin.get(page_of(LOG)))


def test_the_page_of_a_feed_tells_all_of_it(admin: Client) -> None:
    ItemFactory()
    settle_all(ITEM, using="default")

    text = text_of(admin.get(page_of(ITEM)))

    assert "Scope: tenant Follows: parts__notes, labels, author" in text
    assert f"Head: {Feed.objects.get(pk=ITEM.id).sequence}" in text
    assert f"Epoch: {epoch_of(ITEM)}" in text
    assert "Retention: 30 days" in text
    assert "Triggers: all in place" in text


def drawing_in(content: str) -> str:
    return content.partition("<svg viewBox")[2].partition("</svg>")[0]


def test_the_page_draws_the_last_day_and_has_it_as_a_table(admin: Client) -> None:
    Change.objects.filter(feed_id=LOG.id).delete()
    Log.objects.create(text="a")
    settle_all(LOG, using="default")

    content = admin.get(page_of(LOG)).content.decode()

    assert "<title id=" in drawing_in(content)
    assert "1 change, most of them from" in drawing_in(content)
    assert drawing_in(content).count("<rect") == 2 * 48
    assert content.count('<td class="number">') == 48
    assert "keeps only the newest change of each object" in content


@override_settings(USE_THOUSAND_SEPARATOR=True, LANGUAGE_CODE="de")
def test_a_drawing_has_no_numbers_of_a_language(admin: Client) -> None:
    places = re.findall(
        r' (?:x|y|x1|x2|y1|y2|width|height)="([^"]*)"', drawing_in(admin.get(page_of(LOG)).content.decode())
    )

    assert len(places) > 48 * 4
    assert all(re.fullmatch(r"\d+(\.5)?", place) for place in places)


def test_a_feed_that_no_model_has_any_more_is_shown_and_left_alone(admin: Client) -> None:
    gone = FeedOptions(Log, "gone.model", LOG.declaration)
    Feed.objects.create(pk=gone.id, name=gone.name, epoch="then")

    assert "gone.model" in text_of(admin.get(FEEDS))
    assert "no model has this feed any more" in text_of(admin.get(page_of(gone)))
    act(admin, "begin_epoch", gone, is_confirmed="yes")
    assert (epoch_of(gone), logged()) == ("then", [])


def test_pending_changes_are_settled(admin: Client) -> None:
    settle_all(LOG, using="default")
    Log.objects.create(text="a")
    pending = PendingChange.objects.filter(feed_id=LOG.id).count()

    text = text_of(act(admin, "settle", LOG))

    assert f"Settled {pending} pending changes of shop.log in &#x27;default&#x27;." in text
    assert not PendingChange.objects.filter(feed_id=LOG.id).exists()
    assert logged() == [f"Settled {pending} pending changes in 'default'."]


def test_old_changes_are_pruned(admin: Client) -> None:
    Change.objects.filter(feed_id=LOG.id).delete()
    Log.objects.create(text="a")
    settle_all(LOG, using="default")
    Change.objects.update(changed_at=1)

    assert "Pruned 1 changes of shop.log" in text_of(act(admin, "prune", LOG))
    assert logged() == ["Pruned 1 changes in 'default'."]


def test_what_takes_too_long_is_left_for_the_next_time(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MOST_SECONDS", -1)
    Log.objects.create(text="a")
    settle_all(LOG, using="default")
    Change.objects.update(changed_at=1)

    assert "There may be more: do it again" in text_of(act(admin, "prune", LOG))


def test_a_new_epoch_is_begun_once_it_is_known_what_it_costs(admin: Client) -> None:
    Log.objects.create(text="a")
    before = epoch_of(LOG)

    asked = text_of(act(admin, "begin_epoch", LOG))
    meanwhile = epoch_of(LOG)
    done = text_of(act(admin, "begin_epoch", LOG, is_confirmed="yes"))

    assert "each client gets a 410" in asked
    assert f"shop.log: {Log.objects.count()} rows" in asked
    assert meanwhile == before != epoch_of(LOG)
    assert "Began a new epoch of shop.log" in done
    assert logged() == ["Began a new epoch in 'default'."]


@override_settings(POLLABLE_FIRST_SYNC_SLOTS=3)
def test_who_is_asked_is_told_of_the_slots_for_first_syncs(admin: Client) -> None:
    assert "Each process serves 3 of these first syncs at a time" in text_of(act(admin, "begin_epoch", LOG))


def test_the_history_of_a_feed_tells_who_did_what(admin: Client) -> None:
    act(admin, "begin_epoch", LOG, is_confirmed="yes")

    assert "admin Began a new epoch" in text_of(admin.get(f"{FEEDS}{LOG.id}/history/"))


def test_who_may_only_view_can_do_nothing(viewer: Client) -> None:
    before = epoch_of(LOG)

    assert 'name="action"' not in viewer.get(FEEDS).content.decode()
    act(viewer, "begin_epoch", LOG, is_confirmed="yes")
    assert epoch_of(LOG) == before
    assert "Scopes" in text_of(viewer.get(page_of(LOG)))
    assert viewer.get(SCOPES).status_code == 200


def test_who_may_not_view_sees_nothing(viewer: Client) -> None:
    User.objects.get(username="viewer").user_permissions.clear()

    assert [viewer.get(url).status_code for url in (FEEDS, page_of(LOG), SCOPES)] == [403, 403, 403]


@pytest.mark.parametrize("place", [f"{FEEDS}add/", f"{SCOPES}add/", f"{FEEDS}{LOG.id}/delete/", page_of(LOG)])
def test_nobody_adds_edits_or_deletes_rows(admin: Client, place: str) -> None:
    assert admin.post(place, {"name": "mine"}).status_code == 403


def test_the_feeds_of_another_database_have_pages_too(admin: Client) -> None:
    before = epoch_of(ARCHIVED, "archive")
    listed = admin.get(FEEDS, {"using": "archive"})
    link = re.search(rf'href="({re.escape(page_of(ARCHIVED))}[^"]*)"', listed.content.decode())

    assert "shop.log" not in text_of(listed)
    assert link is not None
    assert "Database: archive" in text_of(admin.get(link[1].replace("&amp;", "&")))
    act(admin, "begin_epoch", ARCHIVED, using="archive", is_confirmed="yes")
    assert epoch_of(ARCHIVED, "archive") != before
    assert logged() == ["Began a new epoch in 'archive'."]


def test_a_database_that_holds_no_feeds_is_not_shown(admin: Client) -> None:
    assert "shop.log" in text_of(admin.get(FEEDS, {"using": "nothing"}))


def test_the_scopes_of_a_feed_are_found_by_name(admin: Client) -> None:
    tenants = TenantFactory.create_batch(2)
    for tenant in tenants:
        ItemFactory(tenant=tenant)
    settle_all(ITEM, using="default")
    names = [str(tenant.pk) for tenant in tenants]

    found = [admin.get(SCOPES, {"feed_id": ITEM.id, "q": name}).context["cl"].result_list for name in names]

    assert [[scope.name for scope in each] for each in found] == [[name] for name in names]
    assert f"Scope: {names[0]} Feed: shop.item" in text_of(admin.get(f"{SCOPES}{found[0][0].pk}/change/"))


def test_a_scope_of_a_feed_without_scopes_can_be_opened(admin: Client) -> None:
    Log.objects.create(text="a")
    settle_all(LOG, using="default")

    assert "(one for all) shop.log" in text_of(admin.get(SCOPES, {"feed_id": LOG.id}))


def test_no_page_of_scopes_counts_or_sorts_them_all(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scopes, "MOST_SCOPES", 150)
    Scope.objects.bulk_create(Scope(feed_id=ITEM.id, name=f"s{number}") for number in range(200))

    with CaptureQueriesContext(connection) as queries:
        listed = admin.get(SCOPES, {"feed_id": ITEM.id, "p": 2}).context["cl"]

    asked = [query["sql"] for query in queries if "pollable_scope" in query["sql"]]
    assert (listed.result_count, len(listed.result_list)) == (150, 50)
    assert asked
    assert all("LIMIT" in sql for sql in asked)


@pytest.fixture
def _down() -> Iterator[None]:
    """Let the other database answer nothing."""

    def refuse(*arguments: Any) -> Any:
        raise OperationalError("server closed the connection")

    with connections["archive"].execute_wrapper(refuse):
        yield


@pytest.mark.usefixtures("_down")
@pytest.mark.parametrize("place", [FEEDS, SCOPES, page_of(ARCHIVED)])
def test_a_database_that_is_down_is_told_in_a_message(admin: Client, place: str) -> None:
    response = admin.get(place, {"using": "archive"}, follow=True)

    assert response.redirect_chain == [("/admin/", 302)]
    assert "Database &#x27;archive&#x27;: server closed the connection" in text_of(response)


READ_ONLY = {
    "sqlite": ("PRAGMA query_only = ON", "PRAGMA query_only = OFF"),
    "postgresql": ("SET default_transaction_read_only = on", "SET default_transaction_read_only = off"),
    "mysql": ("SET SESSION TRANSACTION READ ONLY", "SET SESSION TRANSACTION READ WRITE"),
}


@pytest.mark.django_db(transaction=True, databases=["default", "archive"])
def test_a_database_that_is_only_read_is_shown_and_left_as_it_is(admin: Client) -> None:
    before = epoch_of(ARCHIVED, "archive")
    begin, end = READ_ONLY[connection.vendor]
    with connections["archive"].cursor() as cursor:
        cursor.execute(begin)
    try:
        shown = text_of(admin.get(FEEDS, {"using": "archive"}))
        told = text_of(act(admin, "begin_epoch", ARCHIVED, using="archive", is_confirmed="yes"))
    finally:
        with connections["archive"].cursor() as cursor:
            cursor.execute(end)

    assert "shop.archiveditem" in shown
    assert "Database &#x27;archive&#x27;: " in told
    assert epoch_of(ARCHIVED, "archive") == before
