"""Keys and scopes as text: the same from a trigger and from Python, and back again."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, models
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from django_pollable.ledger.keys import KeyFields, own_field
from django_pollable.ledger.options import feed_of
from django_pollable.ledger.sequencer import settle
from django_pollable.ledger.tables import Change
from tests.factories import CountryFactory, DocumentFactory, ItemFactory, PriceFactory, UserFactory
from tests.shop.models import Capital, Country, Document, Item, Price

many_in_one_transaction = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def characters(size: int, least: int = 0) -> st.SearchStrategy[str]:
    """Text that a column can hold, with what separates values more often than chance has it."""
    legal = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
    return st.text(st.sampled_from("~,. \\'") | legal, min_size=least, max_size=size)


def field(kind: Any, **options: Any) -> Any:
    """Return a field that belongs to no model."""
    found = kind(**options)
    found.set_attributes_from_name("field")
    return found


TEXT = field(models.CharField, max_length=20)
OPTIONAL = field(models.CharField, max_length=20, null=True)
NUMBER = field(models.IntegerField)


def recorded(model: type[models.Model]) -> list[tuple[str, str]]:
    """Return the keys and scopes that the triggers have written for `model`, in order."""
    feed = feed_of(model)
    while settle(feed, using="default"):
        pass
    return list(Change.objects.filter(feed_id=feed.id).order_by("sequence").values_list("key", "scope"))


@given(st.integers(-(2**31), 2**31 - 1))
def test_a_number_survives(value: int) -> None:
    key = KeyFields((NUMBER,))

    assert key.encode([value], connection) == str(value)
    assert key.decode(str(value)) == value


@given(st.integers(0, 2**128 - 1))  # not `uuids()`: Python 3.11 fails now and then to parse what that maps
def test_a_uuid_survives_as_the_database_writes_it(number: int) -> None:
    key, value = feed_of(Document).key, uuid.UUID(int=number)

    text = key.encode([value], connection)

    assert text == (str(value) if connection.features.has_native_uuid_field else value.hex)
    assert key.decode(text) == value
    assert key.encode([str(value)], connection) == text


@given(characters(20, 1))
def test_the_text_of_one_field_is_the_plain_value(value: str) -> None:
    key = KeyFields((TEXT,))

    assert key.encode([value], connection) == value
    assert key.decode(value) == value


@given(st.tuples(characters(20, 1), st.integers(-(2**31), 2**31 - 1), characters(20, 1)))
@example(("0", 0, "~."))
def test_a_composite_key_survives_whatever_its_texts_hold(values: tuple[str, int, str]) -> None:
    key = KeyFields((TEXT, NUMBER, TEXT))

    assert key.decode(key.encode(values, connection)) == values


@given(*[st.tuples(st.none() | characters(4), st.none() | characters(4))] * 2)
def test_other_values_have_another_text(one: tuple[str | None, ...], two: tuple[str | None, ...]) -> None:
    scope = KeyFields((OPTIONAL, OPTIONAL))

    assert (scope.encode(one, connection) == scope.encode(two, connection)) == (one == two)


@given(*[st.none() | characters(4)] * 2)
def test_null_is_no_text(one: str | None, two: str | None) -> None:
    scope = KeyFields((OPTIONAL,))

    assert (scope.encode([one], connection) == scope.encode([two], connection)) == (one == two)


@given(st.tuples(st.none() | characters(20), st.none() | characters(20)))
def test_the_longest_text_is_as_long_as_promised(values: tuple[str | None, ...]) -> None:
    scope = KeyFields((OPTIONAL, OPTIONAL))

    assert len(scope.encode(values, connection)) <= scope.max_length
    assert len(scope.encode(["~" * 20, "," * 20], connection)) == scope.max_length == 81


def test_numbers_and_uuids_have_a_longest_text() -> None:
    assert feed_of(Item).key.max_length == feed_of(Document).key.max_length == 36
    assert feed_of(Country).key.max_length == 10
    assert KeyFields(()).encode([], connection) == ""


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "x,EUR"])
def test_a_text_that_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        feed_of(Price).key.decode(text)


@pytest.mark.parametrize(
    ("model", "text"), [(Country, "\ud800"), (Country, "x" * 11), (Price, "1,EURO"), (Item, str(2**63))]
)
def test_a_clients_text_that_its_column_cannot_hold_is_refused(model: type[models.Model], text: str) -> None:
    with pytest.raises(ValidationError):
        feed_of(model).key.parse(text, connection)


def test_a_clients_text_with_nul_is_refused_where_no_row_can_have_it() -> None:
    key = feed_of(Country).key
    if connection.vendor != "postgresql":
        assert key.parse("a\0", connection) == "a\0"
        return
    with pytest.raises(ValidationError):
        key.parse("a\0", connection)


def test_what_a_table_holds_is_read_whatever_the_fields_validators_say() -> None:
    slug = KeyFields((field(models.SlugField, max_length=20),))

    assert slug.decode("not a slug") == slug.parse("not a slug", connection) == "not a slug"


@pytest.mark.parametrize(("model", "values"), [(Document, ["no uuid"]), (Item, ["one"])])
def test_a_value_that_cannot_be_is_refused(model: type[models.Model], values: list[Any]) -> None:
    with pytest.raises(ValidationError):
        feed_of(model).key.encode(values, connection)


def test_fields_whose_text_differs_between_databases_are_unsupported() -> None:
    fields = [Item._meta.get_field(name) for name in ("id", "data", "code", "tenant")]

    assert KeyFields(tuple(fields)).unsupported == ["data"]  # type: ignore[arg-type]
    assert feed_of(Document).scope.unsupported == feed_of(Document).key.unsupported == []


def test_a_foreign_key_counts_as_what_it_points_at() -> None:
    pointer = Capital._meta.pk

    assert own_field(pointer) is Country._meta.pk
    assert KeyFields((pointer,)).decode("a") == "a"
    with pytest.raises(ValidationError):
        KeyFields((pointer,)).parse("x" * 11, connection)


@pytest.mark.django_db
@many_in_one_transaction
@given(product=st.integers(-(2**31), 2**31 - 1), currency=characters(3))
def test_a_trigger_writes_a_composite_key_as_python_does(product: int, currency: str) -> None:
    Price.objects.all().delete()

    PriceFactory(product=product, currency=currency)

    assert recorded(Price)[-1] == (feed_of(Price).key.encode([product, currency], connection), "")


@pytest.mark.django_db
@many_in_one_transaction
@given(folder=st.none() | characters(50))
def test_a_trigger_writes_a_scope_as_python_does(folder: str | None) -> None:
    owner = UserFactory()

    document = DocumentFactory(owner=owner, folder=folder)

    feed = feed_of(Document)
    scope = feed.scope_of({"owner": owner.pk, "folder": folder}, connection)
    assert recorded(Document)[-1] == (feed.key.encode([document.pk], connection), scope)


@pytest.mark.django_db
@many_in_one_transaction
@given(code=characters(10))
def test_a_trigger_writes_a_text_key_as_python_does(code: str) -> None:
    Country.objects.all().delete()

    CountryFactory(code=code)

    assert recorded(Country)[-1] == (code, "")


@pytest.mark.django_db
def test_a_trigger_writes_a_number_and_its_scope_as_python_does() -> None:
    item = ItemFactory()

    assert recorded(Item)[-1] == (str(item.pk), str(item.tenant_id))
