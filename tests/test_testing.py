"""What a project's own tests poll with: it notices what it should, and says what is wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import skipIf

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, TestCase, TransactionTestCase, override_settings
from django.urls import path
from rest_framework import serializers
from rest_framework.authentication import TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.generics import ListAPIView
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

from django_pollable.caching import CachePolicy
from django_pollable.ledger import history
from django_pollable.ledger.options import feed_of
from django_pollable.testing import PollingClient
from tests.factories import AuthorFactory, CountryFactory, ItemFactory, LabelFactory, LogFactory, PartFactory
from tests.shop.models import Item, Tenant
from tests.shop.views import DraftlessItems, ItemSerializer, OpenItems

URL = "/open/all/items/"


class TenantItems(OpenItems):
    """Shows the name of a row that the model does not follow."""

    class serializer_class(ItemSerializer):  # noqa: N801
        tenant = serializers.CharField(source="tenant.name")

        class Meta(ItemSerializer.Meta):
            fields = [*ItemSerializer.Meta.fields, "tenant"]

    def get_scope(self) -> Any:
        return None


class AllDraftlessItems(DraftlessItems):
    def get_scope(self) -> Any:
        return None


class CountedItems(TenantItems):
    """Shows what no relation leads to."""

    class serializer_class(ItemSerializer):  # noqa: N801
        name = serializers.SerializerMethodField()

        def get_name(self, item: Item) -> int:
            return User.objects.count()


class NumberedItems(ListAPIView):
    """An ordinary list."""

    queryset = Item.objects.order_by("pk")
    serializer_class = ItemSerializer
    authentication_classes = []


class OneItems(OpenItems):
    """The same for all users who sign in, and does not say that it is for them alone."""

    authentication_classes = [TokenAuthentication]
    permission_classes = [IsAuthenticated]
    cache_policy = CachePolicy.private()

    def get_scope(self) -> Any:
        return None


class SharedItems(OneItems):
    cache_policy = CachePolicy.public()


class OwnItems(OneItems):
    varies_by_user = True


class Broken(APIView):
    authentication_classes = []

    def get(self, request: Any) -> Response:
        return Response({"detail": "The tests have broken it."}, status=503)


urlpatterns = [
    path("tenants/", TenantItems.as_view()),
    path("one/", OneItems.as_view()),
    path("shared/", SharedItems.as_view()),
    path("own/", OwnItems.as_view()),
    path("broken/", Broken.as_view()),
    path("draftless/", AllDraftlessItems.as_view()),
    path("counted/", CountedItems.as_view()),
    path("numbered/", NumberedItems.as_view()),
]

own_urls = pytest.mark.urls(__name__)


@contextmanager
def fails(*words: str) -> Iterator[None]:
    """Expect a failure whose message has `words`."""
    with pytest.raises(AssertionError) as failure:
        yield
    for word in words:
        assert word in str(failure.value)


def user_with(client: Client, name: str, url: str) -> PollingClient:
    token = Token.objects.create(user=User.objects.create_user(name), key=f"{name}-token")
    return PollingClient(client, url, headers={"Authorization": f"Token {token.key}"})


@pytest.fixture
def feed(db: None, client: Client) -> PollingClient:
    return PollingClient(client, URL)


def test_a_client_keeps_the_rows_that_it_is_told(feed: PollingClient) -> None:
    one, two = ItemFactory(name="a"), ItemFactory(name="b")

    assert feed.sync() == {str(one.pk), str(two.pk)}
    Item.objects.filter(pk=one.pk).update(name="c")
    gone = str(two.pk)
    two.delete()

    assert feed.sync() == {str(one.pk), gone}
    assert {key: row["name"] for key, row in feed.rows.items()} == {str(one.pk): "c"}
    assert feed.response["X-Poll-Interval"] == "5"


def test_a_client_reads_all_pages(client: Client, db: None) -> None:
    items = ItemFactory.create_batch(5)
    feed = PollingClient(client, f"{URL}?limit=2")

    assert feed.sync() == feed.rows.keys() == {str(item.pk) for item in items}
    feed.assert_unchanged()


def test_a_client_begins_anew_where_the_history_does(feed: PollingClient) -> None:
    ItemFactory()
    feed.sync()
    history.renew(feed_of(Item), "default")
    Item.objects.all().delete()

    feed.sync()

    assert feed.rows == {}


def test_rest_frameworks_client_polls_too(api: APIClient, alice: User) -> None:
    tenant = Tenant.objects.create(name="alice")
    api.credentials(HTTP_AUTHORIZATION="Token alice-token")
    feed = PollingClient(api, f"/tenants/{tenant.pk}/items/?status=new")
    feed.sync()
    item = ItemFactory(tenant=tenant)

    feed.assert_notices(item)
    feed.assert_unchanged(max_queries=4)
    feed.assert_in_step()


def test_a_whole_url_says_whether_it_is_https(client: Client, db: None) -> None:
    feed = PollingClient(client, f"https://testserver{URL}")

    feed.sync()

    assert feed.response.wsgi_request.is_secure()


def test_another_key_than_id(client: Client, db: None) -> None:
    feed = PollingClient(client, "/countries/", key="code")
    country = CountryFactory()

    feed.sync()

    assert feed.rows == {country.code: {"code": country.code, "name": country.name}}


def test_a_feed_that_is_read_by_ids(client: Client, db: None) -> None:
    feed = PollingClient(client, "/logs/")
    feed.sync()

    log = LogFactory()

    feed.assert_notices(log)


def test_what_is_noticed(feed: PollingClient) -> None:
    item = ItemFactory(author=AuthorFactory())
    part = PartFactory(item=item)
    feed.sync()

    part.delete()
    feed.assert_notices(item)
    item.author.name = "b"
    item.author.save()
    feed.assert_notices(str(item.pk))
    item.delete()
    feed.assert_notices()


def test_what_is_not_noticed_is_told_with_what_is_followed(feed: PollingClient) -> None:
    item = ItemFactory()
    feed.sync()
    item.tenant.name = "b"
    item.tenant.save()

    with fails(URL, "tells of nothing", repr(item), "Item follows author, labels, parts__notes"):
        feed.assert_notices(item)
    with fails("not of anything"):
        feed.assert_notices()


def test_nothing_can_be_noticed_before_a_first_sync(feed: PollingClient) -> None:
    with fails("Call `sync()` first"):
        feed.assert_notices(ItemFactory())
    with fails("Call `sync()` first"):
        feed.assert_unchanged()


def test_a_304_may_take_so_many_queries(feed: PollingClient) -> None:
    feed.sync()

    feed.assert_unchanged(max_queries=1)
    with fails("took 1 queries:\nSELECT f.epoch"):
        feed.assert_unchanged(max_queries=0)


def test_a_change_where_none_was_to_come(feed: PollingClient) -> None:
    feed.sync()
    item = ItemFactory()

    with fails(f"tells of {item.pk}: a 304 was to come"):
        feed.assert_unchanged()
    feed.assert_unchanged()


def test_who_polls_from_the_first_is_in_step_with_who_begins_now(feed: PollingClient) -> None:
    items = ItemFactory.create_batch(3)
    feed.sync()
    items[0].delete()
    items[1].tenant = Tenant.objects.create(name="b")
    items[1].save()

    feed.assert_in_step()


@own_urls
def test_a_relation_that_is_not_followed_is_seen_by_its_member(client: Client, db: None) -> None:
    feed = PollingClient(client, "/tenants/")
    item = ItemFactory(tenant__name="a")
    feed.sync()
    Tenant.objects.update(name="b")

    with fails(f"{item.pk}: `tenant` was told as 'a' and is 'b'"):
        feed.assert_in_step()


@own_urls
def test_a_row_that_a_rule_hides_stays_with_the_client(client: Client, db: None) -> None:
    feed = PollingClient(client, "/draftless/")
    item = ItemFactory()
    feed.sync()
    Item.objects.update(status="draft")

    with fails(f"{item.pk}: the feed has not told that it is gone"):
        feed.assert_in_step()


@own_urls
def test_a_row_that_a_rule_shows_again_has_not_been_told(client: Client, db: None) -> None:
    ItemFactory(tenant__name="a")
    feed = PollingClient(client, "/tenants/")
    feed.sync()
    key = feed.rows.popitem()[0]

    with fails(f"{key}: the feed has not told of it"):
        feed.assert_in_step()


def test_rows_of_others_are_never_told(client: Client, db: None) -> None:
    mine, theirs = ItemFactory(), ItemFactory()
    feed = PollingClient(client, f"/open/{mine.tenant_id}/items/")
    feed.sync()
    theirs.save()

    feed.assert_never_told(theirs)
    key = theirs.pk
    theirs.delete()
    feed.assert_never_told(str(key))
    with fails("has told of <Item"):
        feed.assert_never_told(mine)


def test_a_removal_tells_of_a_row_too(client: Client, db: None) -> None:
    item = ItemFactory()
    feed = PollingClient(client, f"/open/{item.tenant_id}/items/?status=new")
    feed.sync()
    other = ItemFactory(tenant=item.tenant, status="done")

    with fails(f"told of '{other.pk}'"):
        feed.assert_never_told(str(other.pk))


@own_urls
def test_answers_of_two_users_are_private(client: Client, db: None) -> None:
    ItemFactory()

    user_with(client, "alice", "/own/").assert_private(user_with(client, "bob", "/own/"))


@own_urls
def test_a_tag_that_two_users_share_is_not_private(client: Client, db: None) -> None:
    alice, bob = (user_with(client, name, "/one/") for name in ("alice", "bob"))

    with fails("tag of the one client is good for the other", "varies_by_user"):
        alice.assert_private(bob)


@own_urls
def test_what_any_cache_may_share_is_not_private(client: Client, db: None) -> None:
    alice, bob = (user_with(client, name, "/shared/") for name in ("alice", "bob"))

    with fails("Any cache may share", "public, max-age=1"):
        alice.assert_private(bob)


def test_a_serializer_that_reads_what_is_followed(client: Client, db: None) -> None:
    PartFactory()
    feed = PollingClient(client, "/chaos/all/items/")
    feed.sync()

    feed.assert_follows_what_it_reads()


@own_urls
def test_a_forgotten_relation_is_named(client: Client, db: None) -> None:
    ItemFactory()
    feed = PollingClient(client, "/tenants/")
    feed.sync()

    with fails("TenantItems reads tables that Item does not follow", "shop_tenant: add 'tenant' to `follows`"):
        feed.assert_follows_what_it_reads()
    feed.assert_follows_what_it_reads(but=[Tenant])


@own_urls
def test_a_table_without_a_relation_is_named(client: Client, db: None) -> None:
    ItemFactory()
    feed = PollingClient(client, "/counted/")
    feed.sync()

    with fails("auth_user: name its model in `but`"):
        feed.assert_follows_what_it_reads()


def test_what_is_read_is_not_known_without_rows(feed: PollingClient) -> None:
    feed.sync()

    with fails("shows no row"):
        feed.assert_follows_what_it_reads()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("/broken/", ["503 (status-503)", "The tests have broken it."]),
        ("/nowhere/", ["404 (status-404)", "Not Found"]),
        ("/own/", ["401 (status-401)", "Authentication credentials were not provided."]),
        ("/numbered/", ["200 (invalid-page)", "The body is not a page."]),
        ("/tenants/?limit=0", ["400 (status-400)", "`limit` is a whole number"]),
    ],
)
@own_urls
def test_an_answer_that_is_no_page_is_told(url: str, words: list[str], client: Client, db: None) -> None:
    with fails(url, *words):
        PollingClient(client, url).sync()


@own_urls
def test_a_304_that_was_to_come_and_is_refused(client: Client, db: None) -> None:
    alice = user_with(client, "alice", "/own/")
    alice.sync()
    Token.objects.all().delete()

    with fails("401 (status-401)"):
        alice.assert_unchanged()


def test_many_keys_are_not_all_told(feed: PollingClient) -> None:
    feed.sync()
    ItemFactory.create_batch(7)

    with fails("and 2 more"):
        feed.assert_unchanged()


class InATransaction(TestCase):
    """Django's own test case: each test is a transaction that is rolled back."""

    item: Item

    @classmethod
    def setUpTestData(cls) -> None:
        cls.item = ItemFactory()

    def test_a_change_is_noticed_before_its_commit(self) -> None:
        feed = PollingClient(self.client, URL)
        feed.sync()
        LabelFactory().item_set.add(self.item)

        feed.assert_notices(self.item)
        feed.assert_unchanged(max_queries=1)
        feed.assert_in_step()

    def test_another_test_begins_where_this_one_did(self) -> None:
        feed = PollingClient(self.client, URL)

        assert feed.sync() == {str(self.item.pk)}


@override_settings(POLLABLE_PUBLISH_SECONDS=1, POLLABLE_HEAD_MAX_AGE_SECONDS=60)
class WithCommits(TransactionTestCase):
    """The one that commits: heads are remembered, and many polls number changes by turns."""

    def test_a_change_is_noticed_at_once(self) -> None:
        feed = PollingClient(self.client, URL)
        feed.sync()
        for _ in range(3):
            feed.assert_notices(ItemFactory())
            feed.assert_unchanged(max_queries=1)

    @override_settings(POLLABLE_SETTLE_BATCH=2)
    def test_more_changes_than_a_poll_numbers_are_noticed_at_once(self) -> None:
        feed = PollingClient(self.client, URL)
        feed.sync()
        items = ItemFactory.create_batch(5)

        feed.assert_notices(*items)

    @skipIf(connection.vendor == "sqlite", "a database in memory is of one thread")
    def test_changes_of_other_threads_are_noticed(self) -> None:
        feed = PollingClient(self.client, URL)
        feed.sync()

        def write() -> None:
            ItemFactory()
            connection.close()

        writers = [threading.Thread(target=write) for _ in range(4)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()

        feed.assert_notices()
        feed.assert_in_step()
        assert len(feed.rows) == 4
