"""What an attacker or a broken client sends: 400, 404 or 410, never 500."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient, APIRequestFactory

from django_pollable.cursors import Cursor
from django_pollable.pagination import AfterIdPagination
from tests.shop.models import Item, Tenant
from tests.shop.views import Countries, Logs, Prices

pytestmark = pytest.mark.django_db

HOSTILE = [
    "",
    "v1.",
    "v2.abc",
    "v1.%00",
    "\0",
    "x" * 10_000,
    "9" * 400,
    "1e400",
    "nan",
    "1.5.5",
    "0x10",
    "2026-13-45",
    "2026-01-01T00:00:00+99:99",
    "99999-01-01",
    "²",
    "٣٣",
    "1_000",
    "1e3",
    "é" * 50,
    "v1." + "A" * 2000,
    "v1.e30",
]


@pytest.fixture
def url(db: None) -> str:
    tenant = Tenant.objects.create(name="a")
    Item.objects.bulk_create(Item(tenant=tenant, name=str(number)) for number in range(3))
    return f"/open/{tenant.pk}/items/"


@pytest.mark.parametrize("sent", HOSTILE)
def test_a_hostile_cursor_is_a_problem_and_not_a_crash(api: APIClient, url: str, sent: str) -> None:
    answer = api.get(url, {"since": sent})

    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.parametrize("sent", [*HOSTILE, "-1", "1.5", str(2**63), str(-(2**70))])
def test_a_hostile_id_is_a_problem_and_not_a_crash(api: APIClient, db: None, sent: str) -> None:
    assert api.get("/logs/", {"after_id": sent}).status_code in (200, 400)


@pytest.mark.parametrize("sent", ["0", "-1", "", "1.5", "ten", "٣", "1 ", "000"])
def test_a_hostile_limit_is_a_problem(api: APIClient, url: str, sent: str) -> None:
    assert api.get(url, {"limit": sent}).json()["type"].endswith("invalid-parameter")


@pytest.mark.parametrize("scope", ["9" * 30, "x", "%00", "1%00", "-1", "1.5", "٣"])
def test_a_scope_that_cannot_be_is_not_found_or_empty(api: APIClient, db: None, scope: str) -> None:
    answer = api.get(f"/open/{scope}/items/")

    assert answer.status_code == 404 or answer.json()["items"] == []


def test_no_byte_of_a_cursor_can_be_changed(api: APIClient, url: str, django_assert_num_queries: object) -> None:
    token = api.get(url, {"limit": "2"}).json()["next_since"]
    dice = random.Random(1)

    for place in range(len(token)):
        other = dice.choice([letter for letter in "AZaz09-_." if letter != token[place]])
        answer = api.get(url, {"since": token[:place] + other + token[place + 1 :]})
        assert answer.status_code == 400


def test_a_hostile_scope_of_text_is_only_a_scope(api: APIClient, db: None) -> None:
    for folder in ("", "~", ",", "~.", "a,b", "'; DROP TABLE shop_item; --", "%s", "\0"):
        answer = api.get("/documents/", {"owner": "1", "folder": folder})
        assert answer.status_code == (404 if folder == "\0" and connection.vendor == "postgresql" else 200)


@pytest.mark.parametrize("key", ["%00", "a%00", "%0A", "%ED%A0%80", "9" * 5000])
def test_a_row_with_a_key_that_cannot_be_is_not_found(api: APIClient, db: None, key: str) -> None:
    for url in (f"/countries/{key}/", f"/edited/countries/{key}/"):
        assert api.get(url).status_code == 404
    assert api.delete(url, headers={"If-Match": "*"}).status_code == 404


@pytest.mark.parametrize("method", ["get", "post"])
def test_more_parameters_than_django_takes_are_a_problem(api: APIClient, method: str) -> None:
    many = "&".join(f"field{number}=1" for number in range(1001))

    answer = api.generic(method, f"/logs/?{many}")

    assert (answer.status_code, answer["Cache-Control"]) == (400, "no-store")
    assert answer.json()["type"].endswith(":parse-error")


def test_more_fields_than_django_takes_are_a_problem(api: APIClient, db: None) -> None:
    many = "&".join(f"field{number}=1" for number in range(1001))

    answer = api.post("/edited/countries/", many, content_type="application/x-www-form-urlencoded")

    assert (answer.status_code, answer["Cache-Control"]) == (400, "no-store")


class PricesAfter(Prices):
    pagination_class = AfterIdPagination


class CountryList(Countries):
    """Keys of text."""


class CountriesAfter(Countries):
    pagination_class = AfterIdPagination


FORGED = ["", "\0", "x", "a,b", "1,a,b", "1,\0", ",", "~", "9" * 40, "9" * 40 + ",a", "z" * 300, "1," + "z" * 300, "²"]


@pytest.mark.parametrize("text", FORGED)
@pytest.mark.parametrize("view", [Logs, PricesAfter, Prices, CountryList, CountriesAfter])
def test_a_forged_key_is_a_problem_and_not_a_crash(db: None, view: Any, text: str) -> None:
    handler = view.as_view(*([{"get": "list"}] if issubclass(view, Countries) else []))
    cursor = Cursor.decode(handler(APIRequestFactory().get("/", {"since": "now"})).data["next_since"])

    for forged in (replace(cursor, key=text), replace(cursor, key=text, last_key=text)):
        assert handler(APIRequestFactory().get("/", {"since": forged.encode()})).status_code in (200, 400)
    assert handler(APIRequestFactory().get("/", {"after_id": text})).status_code in (200, 400)
    if connection.vendor == "postgresql" and "\0" in text:
        forged = replace(cursor, key=text)
        assert handler(APIRequestFactory().get("/", {"since": forged.encode()})).status_code == 400
