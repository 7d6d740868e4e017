"""Writes with preconditions: whose are stale, what is locked, and what an answer's tag is worth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils.http import http_date
from rest_framework.request import Request
from rest_framework.test import APIClient, APIRequestFactory

from django_pollable.ledger.history import renew
from django_pollable.ledger.options import feed_of
from django_pollable.ledger.sequencer import settle_all
from django_pollable.ledger.tables import Feed, PendingChange
from django_pollable.views import PollableViewSet
from tests.factories import (
    AuthorFactory,
    CapitalFactory,
    ItemFactory,
    LabelFactory,
    PartFactory,
    PriceFactory,
    TenantFactory,
)
from tests.shop.models import Item, Note
from tests.shop.views import ItemSerializer, ItemViewSet, serializer_of

pytestmark = pytest.mark.django_db(transaction=True)
NUMBERS_LATER = connection.vendor != "sqlite"


@pytest.fixture
def item(api: APIClient, alice: User) -> Item:
    api.credentials(HTTP_AUTHORIZATION="Token alice-token")
    return ItemFactory(tenant=TenantFactory(name="alice"), author=AuthorFactory(), labels=[LabelFactory()])


@pytest.fixture
def url(item: Item) -> str:
    return f"/tenants/{item.tenant_id}/items/{item.pk}/"


@pytest.fixture
def _strict(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ItemViewSet, "requires_precondition", True)
    return


def tag_of(api: APIClient, url: str) -> str:
    return str(api.get(url)["ETag"])


def patch(api: APIClient, url: str, etag: str, **data: Any) -> Any:
    return api.patch(url, data or {"name": "mine"}, format="json", headers={"If-Match": etag})


def test_a_write_of_the_state_that_was_read_is_done(api: APIClient, url: str) -> None:
    answer = patch(api, url, tag_of(api, url))

    assert (answer.status_code, answer.json()["name"]) == (200, "mine")


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_a_stale_write_is_412_and_changes_nothing(api: APIClient, url: str, method: str) -> None:
    etag = tag_of(api, url)
    Item.objects.update(name="theirs")

    answer = getattr(api, method)(url, {"name": "mine"}, headers={"If-Match": etag})

    assert (answer.status_code, answer["Content-Type"]) == (412, "application/problem+json")
    assert answer.json()["type"].endswith("precondition-failed")
    assert Item.objects.get().name == "theirs"


@pytest.mark.parametrize(
    "change",
    [
        lambda item: PartFactory(item=item),
        lambda item: Note.objects.create(part=PartFactory(item=item)),
        lambda item: item.labels.update(name="other"),
        lambda item: item.labels.clear(),
        lambda item: type(item.author).objects.update(name="other"),
    ],
)
@pytest.mark.parametrize("is_numbered", [True, False])
def test_what_a_row_follows_makes_a_tag_stale_too(
    api: APIClient, item: Item, url: str, change: Any, is_numbered: bool
) -> None:
    etag = tag_of(api, url)
    change(item)
    if is_numbered:
        settle_all(feed_of(Item), using="default")

    assert patch(api, url, etag).status_code == 412


def test_changes_of_other_rows_do_not(api: APIClient, item: Item, url: str) -> None:
    etag = tag_of(api, url)
    other = ItemFactory(tenant=item.tenant, author=AuthorFactory(), labels=[LabelFactory()])
    PartFactory(item=other)
    other.labels.clear()
    type(other.author).objects.filter(pk=other.author.pk).update(name="other")

    assert patch(api, url, etag).status_code == 200


def test_a_change_without_an_owner_makes_every_tag_stale(api: APIClient, item: Item, url: str) -> None:
    etag = tag_of(api, url)
    PendingChange.objects.create(feed_id=feed_of(Item).id, via="*")
    if not NUMBERS_LATER:
        renew(feed_of(Item), "default")

    assert patch(api, url, etag).status_code == 412


def test_a_tag_is_good_however_it_was_weakened_and_by_whatever_it_was_read(api: APIClient, url: str) -> None:
    """P18: the tag names a state, not its bytes."""
    bare = tag_of(api, url).removeprefix("W/").strip('"')
    of_a_query = tag_of(api, f"{url}?other=1")

    for number, form in enumerate(['W/"{}"', '"{}"', '"{}-gzip"', 'W/"{}--br"', '"other", "{}"', '"x.y", W/"{}"']):
        assert patch(api, url, form.format(bare), name=f"n{number}").status_code == 200
        bare = tag_of(api, url).removeprefix("W/").strip('"')
    assert bare != of_a_query
    assert patch(api, url, tag_of(api, f"{url}?other=1")).status_code == 200


@pytest.mark.parametrize("sent", ["", "nonsense", '"other"', 'W/".y"', '"."', '""', '"*"'])
def test_another_tag_is_412(api: APIClient, url: str, sent: str) -> None:
    assert patch(api, url, sent).status_code == 412
    Item.objects.update(name="theirs")  # which leaves a note where numbers come later
    assert patch(api, url, sent).status_code == 412


def test_a_star_means_that_it_exists(api: APIClient, url: str) -> None:
    assert patch(api, url, "*").status_code == 200
    assert patch(api, url.replace("items/", "items/9"), "*").status_code == 404


def test_a_date_never_lets_a_write_pass(api: APIClient, url: str) -> None:
    """Two states may share a second, and clocks differ."""
    future = {"If-Unmodified-Since": http_date(4_000_000_000)}
    assert api.patch(url, {"name": "mine"}, headers=future).status_code == 412
    assert api.patch(url, {"name": "mine"}, headers={"If-Unmodified-Since": "soon"}).status_code == 200
    assert api.patch(url, {"name": "mine"}, headers=future | {"If-Match": tag_of(api, url)}).status_code == 200


def test_if_none_match_forbids_a_state(api: APIClient, url: str) -> None:
    """RFC 9110 Section 13.1.2."""
    for sent, status in {tag_of(api, url): 412, "*": 412, '"other"': 200}.items():
        assert api.patch(url, {"name": "mine"}, headers={"If-None-Match": sent}).status_code == status


def test_permission_comes_before_preconditions_and_the_body_after(api: APIClient, url: str) -> None:
    assert patch(api, url, '"other"', count="x").status_code == 412
    assert patch(api, url, tag_of(api, url), count="x").status_code == 400
    assert patch(APIClient(), url, '"other"').status_code == 401
    assert patch(api, url.replace("items/", "items/9"), '"other"').status_code == 404


@pytest.mark.usefixtures("_strict")
@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_a_view_can_require_a_precondition(api: APIClient, url: str, method: str) -> None:
    write = getattr(api, method)
    answer = write(url, {"name": "mine"})

    assert (answer.status_code, answer["Cache-Control"]) == (428, "no-store")
    assert answer.json()["type"].endswith("precondition-required")
    assert write(url, {"name": "mine"}, headers={"If-None-Match": '"x"'}).status_code == 428
    assert write(url.replace("items/", "items/9"), {"name": "mine"}).status_code == 404
    assert write(url, {"name": "mine"}, headers={"If-Match": tag_of(api, url)}).status_code < 300


def test_a_write_without_preconditions_takes_no_lock(api: APIClient, url: str, django_assert_num_queries: Any) -> None:
    with transaction.atomic(), django_assert_num_queries(5):
        assert api.patch(url, {"name": "mine"}).status_code == 200


def test_the_tag_of_an_answer_is_that_of_what_it_shows(api: APIClient, url: str) -> None:
    answer = patch(api, url, tag_of(api, url))
    again = patch(api, url, answer["ETag"], name="more")

    assert again["ETag"] == tag_of(api, url) != answer["ETag"]
    assert api.get(url, headers={"If-None-Match": again["ETag"]}).status_code == 304
    assert api.patch(url, {"name": "blind"}, format="json")["ETag"] == tag_of(api, url)


def test_a_write_is_in_the_next_delta_as_the_answer_shows_it(api: APIClient, item: Item, url: str) -> None:
    feed = f"/tenants/{item.tenant_id}/items/"
    since = api.get(feed).json()["next_since"]

    answer = patch(api, url, tag_of(api, url))

    assert api.get(feed, {"since": since}).json()["items"] == [answer.json()]


def test_a_put_has_a_tag_only_if_it_was_stored_as_sent(api: APIClient, url: str) -> None:
    """RFC 9110 Section 9.3.4."""
    whole = api.get(url).json() | {"name": "mine"}

    assert api.put(url, whole, format="json")["ETag"] == tag_of(api, url)
    assert not api.put(url, {"name": "part"}, format="json").has_header("ETag")


def test_an_answer_has_no_tag_while_its_transaction_goes_on(api: APIClient, url: str) -> None:
    etag = tag_of(api, url)
    with transaction.atomic():
        answer = patch(api, url, etag)

    assert answer.status_code == 200
    assert not answer.has_header("ETag")


def test_an_answer_has_no_tag_if_somebody_wrote_after_it(
    api: APIClient, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def perform_update(view: Any, serializer: Any) -> None:
        serializer.save()
        transaction.on_commit(lambda: Item.objects.update(name="theirs"))  # type: ignore[arg-type]

    monkeypatch.setattr(ItemViewSet, "perform_update", perform_update)
    answer = patch(api, url, tag_of(api, url))

    assert (answer.status_code, answer.json()["name"]) == (200, "mine")
    assert not answer.has_header("ETag")


def test_an_answer_has_no_tag_if_the_row_was_deleted_after_it(
    api: APIClient, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def perform_update(view: Any, serializer: Any) -> None:
        serializer.save()
        transaction.on_commit(lambda: Item.objects.all().delete())  # type: ignore[arg-type]

    monkeypatch.setattr(ItemViewSet, "perform_update", perform_update)
    answer = patch(api, url, tag_of(api, url))

    assert answer.status_code == 200
    assert not answer.has_header("ETag")


def test_an_answer_has_no_tag_without_a_feed(api: APIClient, url: str) -> None:
    etag = tag_of(api, url)
    Feed.objects.all().delete()

    assert patch(api, url, etag).status_code == 412
    answer = patch(api, url, "*")

    assert answer.status_code == 200
    assert answer.has_header("ETag") != NUMBERS_LATER  # SQLite's triggers begin a feed


def test_a_row_that_goes_between_look_and_lock_is_404(
    api: APIClient, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get_object(view: Any) -> Any:
        found = super(ItemViewSet, view).get_object()
        if view.request.method == "DELETE":
            Item.objects.all().delete()
        return found

    etag = tag_of(api, url)
    monkeypatch.setattr(ItemViewSet, "get_object", get_object)

    assert api.delete(url, headers={"If-Match": etag}).status_code == (404 if NUMBERS_LATER else 412)


def test_another_serializer_for_writes_is_the_same_state(
    api: APIClient, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Short(ItemSerializer):
        class Meta(ItemSerializer.Meta):
            fields = ["name"]

    etag = tag_of(api, url)
    monkeypatch.setattr(ItemViewSet, "serializer_class", Short)
    answer = patch(api, url, etag)

    assert answer.json() == {"name": "mine"}
    assert patch(api, url, answer["ETag"]).status_code == 200


@pytest.mark.parametrize(("factory", "field", "value"), [(CapitalFactory, "code", "c-x"), (PriceFactory, "product", 7)])
def test_keys_of_every_kind_are_locked(factory: Any, field: str, value: Any) -> None:
    """A parent's table, and a composite key."""
    row = factory(**{field: value})

    class Edited(PollableViewSet):
        queryset = type(row).objects.all()
        serializer_class = serializer_of(type(row))
        authentication_classes = []
        lookup_field = field

    view: Any = Edited.as_view({"get": "retrieve", "delete": "destroy"})
    requests = APIRequestFactory()
    old = view(requests.get("/"), **{field: value})["ETag"]
    type(row).objects.update(**({"name": "other"} if field == "code" else {"amount": 2}))
    new = view(requests.get("/"), **{field: value})["ETag"]

    assert view(requests.delete("/", headers={"If-Match": old}), **{field: value}).status_code == 412
    assert view(requests.delete("/", headers={"If-Match": new}), **{field: value}).status_code == 204


class Replicas:
    """Reads from `archive`, writes to `default`."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "archive"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"


def test_a_write_reads_what_it_writes_from_the_primary(item: Item, settings: Any) -> None:
    settings.DATABASE_ROUTERS = [Replicas()]
    view = ItemViewSet(kwargs={"tenant": str(item.tenant_id)}, filter_backends=[])
    databases = []
    for method in ("GET", "PATCH"):
        view.request = Request(APIRequestFactory().generic(method, "/"))
        databases.append(view.filter_queryset(Item.objects.all()).db)

    assert databases == ["archive", "default"]


def test_a_queryset_that_names_a_database_is_written_there(item: Item) -> None:
    view = ItemViewSet(queryset=Item.objects.using("archive"), request=Request(APIRequestFactory().patch("/")))

    assert view.written_database == "archive"


@pytest.mark.skipif(connection.vendor != "mysql", reason="only MySQL's transactions go on seeing the past")
def test_a_transaction_that_sees_the_past_fails(api: APIClient, item: Item, url: str) -> None:
    etag = tag_of(api, url)
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    other = connection.copy()
    try:
        with transaction.atomic():
            assert Item.objects.get().name == item.name
            with other.cursor() as cursor:
                cursor.execute("UPDATE shop_item SET name = 'theirs'")
            assert patch(api, url, etag).status_code == 412
    finally:
        other.close()
        connection.close()
    assert Item.objects.get().name == "theirs"
