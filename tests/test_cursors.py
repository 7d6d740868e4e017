"""Cursors as tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_pollable.cursors import MAX_SEQUENCE, Binding, Cursor, _base64, _checksum, fingerprint, fingerprint_once
from django_pollable.exceptions import InvalidCursor
from django_pollable.ledger.tables import KEY_LENGTH

text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
sequences = st.integers(0, MAX_SEQUENCE)
bindings = st.builds(Binding, st.integers(0, 2**31 - 1), text, text, text)
cursors = st.builds(
    Cursor, bindings, text, sequences, st.none() | text, until=st.none() | sequences, last_key=st.none() | text
)
CURSOR = Cursor(Binding(7, "scope", "filter", "fields"), "epoch", 41, "12")


@given(cursors)
def test_a_token_decodes_to_its_cursor_and_is_the_only_one_of_it(cursor: Cursor) -> None:
    token = cursor.encode()

    assert Cursor.decode(token) == cursor
    assert Cursor.decode(token).encode() == token


@given(st.integers(0, len(CURSOR.encode()) - 1), st.characters(max_codepoint=127))
def test_a_token_with_another_character_is_invalid(place: int, character: str) -> None:
    token = CURSOR.encode()
    changed = token[:place] + character + token[place + 1 :]

    if changed != token:
        with pytest.raises(InvalidCursor):
            Cursor.decode(changed)


@given(st.integers(0, len(CURSOR.encode()) - 1))
def test_a_token_that_was_cut_is_invalid(length: int) -> None:
    with pytest.raises(InvalidCursor):
        Cursor.decode(CURSOR.encode()[:length])


@given(st.text(max_size=200) | st.text("ABCabc012-_", max_size=200).map("v1.{}".format))
def test_any_text_is_a_cursor_or_invalid(token: str) -> None:
    with pytest.raises(InvalidCursor):
        Cursor.decode(token)


@pytest.mark.parametrize(
    "cursor",
    [
        Cursor(CURSOR.binding, "epoch", -1),
        Cursor(CURSOR.binding, "epoch", MAX_SEQUENCE + 1),
        Cursor(CURSOR.binding, "epoch", True),
        Cursor(CURSOR.binding, "epoch", 1, until="2"),  # type: ignore[arg-type]
        Cursor(CURSOR.binding, "epoch", 1, until=False),
        Cursor(CURSOR.binding, "epoch", 1, horizon=-1),
        Cursor(CURSOR.binding, "epoch", 1, key=0),  # type: ignore[arg-type]
        Cursor(CURSOR.binding, "epoch", 1, last_key=False),  # type: ignore[arg-type]
        Cursor(CURSOR.binding, "epoch", 1, key=["a"]),  # type: ignore[arg-type]
        Cursor(Binding("7", "", "", ""), "epoch", 1),  # type: ignore[arg-type]
    ],
)
def test_a_forged_token_with_parts_of_other_types_is_invalid(cursor: Cursor) -> None:
    with pytest.raises(InvalidCursor):
        Cursor.decode(cursor.encode())


def test_a_fingerprint_is_the_same_in_every_process() -> None:
    assert fingerprint("a", 1, None, ["b"]) == fingerprint("a", 1, None, ("b",)) != fingerprint("a", 1, None)
    assert fingerprint("a") == "XCogI2wJDu6P"


@pytest.mark.parametrize("parts", ['["7"', '[7,"s","f","r","e",1,"\\ud800"]', '[7, "s","f","r","e",1]', '{"a":1}'])
def test_a_forged_token_of_other_json_is_invalid(parts: str) -> None:
    data = parts.encode()

    with pytest.raises(InvalidCursor):
        Cursor.decode(f"v1.{_base64(_checksum(data) + data)}")


@pytest.mark.parametrize("character", ["a", "\0", '"', "\x1f", "é", "\U0001f600"])
def test_a_cursor_of_the_longest_keys_is_one(character: str) -> None:
    key = character * KEY_LENGTH
    binding = Binding(2**31 - 1, *[fingerprint("x")] * 3)
    cursor = Cursor(binding, "e" * 16, MAX_SEQUENCE, key, MAX_SEQUENCE, key, MAX_SEQUENCE)

    assert Cursor.decode(cursor.encode()) == cursor


def test_what_cannot_be_kept_in_memory_has_a_fingerprint_too() -> None:
    assert fingerprint_once("a", ["b"]) == fingerprint_once("a", ("b",)) == fingerprint("a", ["b"])
    assert fingerprint({"b", "a"}) == fingerprint(["a", "b"])
