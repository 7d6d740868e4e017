"""What `class Pollable` says, what follows from it, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured, ValidationError
from django.db import connection, models
from django.test.utils import isolate_apps

from django_pollable.exceptions import NotTracked
from django_pollable.ledger.options import Declaration, FeedOptions, feed_of, feeds
from django_pollable.ledger.watches import watches
from django_pollable.models import PollableModel
from tests.shop.models import (
    ArchivedItem,
    Author,
    Capital,
    Country,
    Document,
    Item,
    Log,
    Price,
    SmallCountry,
    Tenant,
)


def following(model: type[models.Model], *follows: str) -> list[tuple[str, str, str, bool]]:
    """Return the tables that a feed with `follows` watches: table, column, look-up, whether rows count."""
    feed = FeedOptions(model, "x", Declaration(follows=follows))
    return [(watch.table, watch.column, watch.via, watch.notes_inserts) for watch in watches(feed)]


def test_a_feed_is_named_as_its_model_or_as_it_says() -> None:
    assert feed_of(Item).name == "shop.item"
    assert feed_of(Document).name == "documents"


def test_the_id_of_a_feed_is_the_same_on_every_host() -> None:
    assert feed_of(Item).id == 2028246130
    assert all(0 < feed.id < 2**31 for feed in feeds())


def test_a_proxy_has_the_feed_of_its_model() -> None:
    assert feed_of(SmallCountry) == feed_of(Country)


def test_a_child_has_a_feed_of_its_own() -> None:
    assert feed_of(Capital).name == "shop.capital"


@isolate_apps("tests.shop")
def test_a_child_does_not_share_the_name_that_its_parent_is_pinned_to() -> None:
    class Parent(PollableModel):
        class Meta:
            app_label = "shop"

        class Pollable:
            scope = ("id",)
            feed = "pinned"

    class Child(Parent):
        class Meta:
            app_label = "shop"

    assert (feed_of(Parent).name, feed_of(Child).name) == ("pinned", "shop.child")
    assert feed_of(Child).declaration.scope == ("id",)


@isolate_apps("tests.shop")
def test_a_class_pollable_can_say_nothing() -> None:
    class Plain(models.Model):
        class Meta:
            app_label = "shop"

        class Pollable:
            pass

    assert feed_of(Plain).declaration == Declaration()


@pytest.mark.parametrize("model", [Tenant, User, PollableModel])
def test_a_model_without_class_pollable_is_not_tracked(model: type[models.Model]) -> None:
    with pytest.raises(NotTracked, match=f"{model._meta.label} is not tracked: subclass PollableModel"):
        feed_of(model)


def test_a_registered_model_is_tracked() -> None:
    assert feed_of(Group).declaration == Declaration((), (), None)


def test_feeds_are_those_of_all_tracked_models_without_proxies() -> None:
    found = [feed.model for feed in feeds()]

    assert {Group, Item, Log, Document, Price, Country, Capital, ArchivedItem} <= set(found)
    assert not {SmallCountry, Tenant} & set(found)
    assert len(found) == len(set(found))


def test_the_key_of_a_composite_primary_key_has_all_its_fields() -> None:
    assert [field.name for field in feed_of(Price).key.fields] == ["product", "currency"]
    assert [field.name for field in feed_of(Item).key.fields] == ["id"]


def test_a_scope_is_named_in_the_order_of_the_declaration() -> None:
    feed = feed_of(Document)

    assert feed.scope_of({"folder": "a,b~", "owner": 7}, connection) == "7,a~.b~~"
    assert feed.scope_of({"folder": None, "owner": "7"}, connection) == "7,~"


@pytest.mark.parametrize("values", [{}, {"owner": 1}, {"owner": 1, "folder": "", "title": ""}, {"owner": 1, "x": ""}])
def test_a_scope_with_other_keys_than_the_fields_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"must give \['owner', 'folder'\] for documents, not"):
        feed_of(Document).scope_of(values, connection)


def test_a_feed_without_a_scope_takes_only_the_empty_dict() -> None:
    assert feed_of(Log).scope_of({}, connection) == ""
    with pytest.raises(ImproperlyConfigured, match=r"must give \[\] for shop.log, not \['tenant'\]"):
        feed_of(Log).scope_of({"tenant": 1}, connection)


@pytest.mark.parametrize(
    "values",
    [
        {"owner": "x", "folder": ""},
        {"owner": 2**70, "folder": ""},
        {"owner": 1, "folder": "a" * 51},
        {"owner": 1, "folder": "\ud800"},
    ],
)
def test_a_scope_that_no_row_can_have_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        feed_of(Document).scope_of(values, connection)


def test_a_scope_of_a_field_that_is_not_there_is_refused() -> None:
    with pytest.raises(FieldDoesNotExist):
        _ = FeedOptions(Item, "x", Declaration(scope=("nothing",))).scope


@pytest.mark.parametrize("path", ["nothing", "parts__nothing", "name", "id", "parts__name"])
def test_a_path_that_is_no_relation_is_refused(path: str) -> None:
    with pytest.raises(FieldDoesNotExist, match=path.rpartition("__")[2]):
        watches(FeedOptions(Item, "x", Declaration(follows=(path,))))


def test_a_feed_is_where_its_model_and_its_ledger_are() -> None:
    assert [feed_of(Item).is_on("default"), feed_of(Item).is_on("archive")] == [True, False]
    assert [feed_of(ArchivedItem).is_on("default"), feed_of(ArchivedItem).is_on("archive")] == [False, True]


def test_a_reverse_relation_is_watched_at_each_hop() -> None:
    assert following(Item, "parts__notes") == [
        ("shop_part", "item_id", "pk", True),
        ("shop_note", "part_id", "parts__pk", True),
    ]


def test_a_foreign_key_is_watched_for_changes_only() -> None:
    assert following(Item, "author") == [("shop_author", "id", "author__id", False)]


def test_a_many_to_many_relation_is_watched_from_either_side() -> None:
    assert following(Item, "labels") == [
        ("shop_item_labels", "item_id", "pk", True),
        ("shop_label", "id", "labels__pk", False),
    ]
    assert following(Item._meta.get_field("labels").related_model, "item")[0] == (
        "shop_item_labels",
        "label_id",
        "pk",
        True,
    )


def test_the_tables_of_parents_are_watched_without_being_named() -> None:
    assert following(Capital) == [("shop_country", "code", "code", False)]
    assert following(Country) == []


@isolate_apps("tests.shop")
def test_one_to_one_relations_are_watched_from_either_side() -> None:
    class Seat(models.Model):
        author = models.OneToOneField(Author, on_delete=models.CASCADE, related_name="+")

        class Meta:
            app_label = "shop"

    class Lamp(models.Model):
        seat = models.OneToOneField(Seat, on_delete=models.CASCADE)

        class Meta:
            app_label = "shop"

    assert following(Seat, "lamp") == [("shop_lamp", "seat_id", "pk", True)]
    assert following(Lamp, "seat") == [("shop_seat", "id", "seat__id", False)]


@isolate_apps("tests.shop")
def test_relations_by_another_unique_column_or_without_a_constraint_are_watched_as_such() -> None:
    class Shelf(models.Model):
        code = models.CharField(max_length=9, unique=True)

        class Meta:
            app_label = "shop"

    class Book(models.Model):
        shelf = models.ForeignKey(
            Shelf, on_delete=models.CASCADE, to_field="code", db_constraint=False, related_name="books"
        )

        class Meta:
            app_label = "shop"

    assert following(Shelf, "books") == [("shop_book", "shelf_id", "code", True)]
    assert following(Book, "shelf") == [("shop_shelf", "code", "shelf__code", True)]
