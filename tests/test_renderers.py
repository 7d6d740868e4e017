"""orjson says what REST framework says."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import uuid
from collections import OrderedDict
from typing import Any

import pytest
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.renderers import JSONRenderer
from rest_framework.utils.serializer_helpers import ReturnDict

from tests.services import module

module("orjson")

from django_pollable.renderers import OrjsonRenderer  # noqa: E402

VIENNA = datetime.timezone(datetime.timedelta(hours=1))
numbers = st.integers(min_value=-(2**70), max_value=2**70) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


class Color(enum.StrEnum):
    RED = "red"


def as_rest_framework(data: Any) -> Any:
    return json.loads(JSONRenderer().render(data))


@given(values)
def test_both_mean_the_same(data: Any) -> None:
    body = OrjsonRenderer().render(data)

    assert (json.loads(body) if body else None) == (as_rest_framework(data) if data is not None else None)


@pytest.mark.parametrize(
    "value",
    [
        datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.UTC),
        datetime.datetime(2026, 1, 2, tzinfo=VIENNA),
        datetime.date(2026, 1, 2),
        datetime.time(3, 4, 5, 6),
        datetime.timedelta(days=1, microseconds=5),
        decimal.Decimal("1.50"),
        uuid.UUID(int=7),
        b"bytes",
        gettext_lazy("lazy"),
        Color.RED,
        OrderedDict(a=1),
        ReturnDict({"a": 1}, serializer=None),
        (1, 2),
        {1: "a number for a name"},
        2**64,
        "\u2028 and \u2029 <&>",
    ],
)
def test_values_of_python_look_the_same(value: Any) -> None:
    assert OrjsonRenderer().render({"value": value}) == JSONRenderer().render({"value": value})


def test_half_a_surrogate_pair_is_the_same_error() -> None:
    for renderer in (OrjsonRenderer(), JSONRenderer()):
        with pytest.raises(UnicodeEncodeError):
            renderer.render({"text": "\ud800"})


def test_what_is_to_be_indented_is(monkeypatch: pytest.MonkeyPatch) -> None:
    accepted = "application/json; indent=4"

    assert OrjsonRenderer().render([1], accepted) == JSONRenderer().render([1], accepted)


@pytest.mark.parametrize(("name", "value"), [("ensure_ascii", True), ("compact", False)])
def test_settings_of_rest_framework_hold(name: str, value: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JSONRenderer, name, value)

    assert OrjsonRenderer().render({"ä": [1, 2]}) == JSONRenderer().render({"ä": [1, 2]})


def test_what_json_lacks_is_null() -> None:
    assert OrjsonRenderer().render([float("nan"), float("inf")]) == b"[null,null]"
