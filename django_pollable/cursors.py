"""The tokens that clients keep between polls."""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2s
from typing import Any

from django_pollable.exceptions import CursorExpired, ExpiryReason, InvalidCursor

VERSION = "v1"
MAX_LENGTH = 6144
"""More than two keys of 255 characters need, each of which JSON may write as six."""

MAX_SEQUENCE = 2**63 - 1


def _plain(value: object) -> object:
    """Return what JSON can tell of `value`; a set has another order in each process."""
    return sorted(map(str, value)) if isinstance(value, set | frozenset) else str(value)


_SEPARATORS = (",", ":")
_encode = json.JSONEncoder(separators=_SEPARATORS, default=_plain).encode
_encode_short = json.JSONEncoder(separators=_SEPARATORS, ensure_ascii=False).encode


def fingerprint(*parts: object) -> str:
    """Return a short digest of `parts`: the same in every process and on every host."""
    return _base64(blake2s(_encode(parts).encode(), digest_size=9).digest())


_fingerprint_once = lru_cache(maxsize=4096)(fingerprint)


def fingerprint_once(*parts: Any) -> str:
    """Return `fingerprint(*parts)` of what many requests share, from memory where it can be kept there."""
    try:
        return _fingerprint_once(*parts)
    except TypeError:
        return fingerprint(*parts)


@dataclass(frozen=True, slots=True)
class Binding:
    """What a cursor belongs to: the feed's id, and fingerprints of what else shaped the answer."""

    feed: int
    scope: str
    filter: str
    representation: str

    def check(self, other: Binding) -> None:
        """
        Check that a cursor bound to `other` can be continued here.

        Raises:
            InvalidCursor: it is another feed's.
            CursorExpired: its scope, filter or representation is another one.
        """
        if other.feed != self.feed:
            raise InvalidCursor("The cursor belongs to another feed.")
        reasons: dict[str, ExpiryReason] = {
            "scope": "scope-changed",
            "filter": "filter-changed",
            "representation": "schema-changed",
        }
        for name, reason in reasons.items():
            if getattr(other, name) != getattr(self, name):
                raise CursorExpired(f"The cursor was given for another {name}.", reason=reason)


@dataclass(frozen=True, slots=True)
class Cursor:
    """
    A client's position in a feed: every change up to `sequence` has been seen.

    During a first sync `sequence` is the head at its start, `key` the last row's primary key and
    `last_key` the table's highest one at the first page; afterwards both are None. Between two pages
    of changes `until` is the head at the first of them. So paging ends however much is written
    meanwhile. `horizon` is the one that the cursor was given under, where that has passed `sequence`:
    until it moves nothing is missing. Clients must treat the encoded form as opaque.
    """

    binding: Binding
    epoch: str
    sequence: int
    key: str | None = None
    until: int | None = None
    last_key: str | None = None
    horizon: int | None = None

    @property
    def reach(self) -> int:
        """The highest place that the cursor knows of."""
        return max(self.sequence, self.until or 0, self.horizon or 0)

    def is_known_at(self, epoch: str, head: int) -> bool:
        """Return whether a feed that stands at `head` in `epoch` can have given the cursor."""
        return self.epoch == epoch and self.reach <= head

    def encode(self) -> str:
        """Return the token: URL-safe, and the same for the same position in every process."""
        bound = self.binding
        place = (self.epoch, self.sequence, self.key, self.until, self.last_key, self.horizon)
        parts = (bound.feed, bound.scope, bound.filter, bound.representation, *place)
        data = _encode_short(parts).encode()
        return f"{VERSION}.{_base64(_checksum(data) + data)}"

    @classmethod
    def decode(cls, token: str) -> Cursor:
        """
        Return the cursor that `token` encodes.

        The checksum finds accidents, not forgery: a cursor opens nothing that the view's scope
        and queryset do not.

        Raises:
            InvalidCursor: `token` was not made by `encode()`.
        """
        return _decode(token)

    def is_well_typed(self) -> bool:
        """Return whether each part is of its type and range."""
        bound = self.binding
        numbers = (bound.feed, self.sequence, *_given(self.until, self.horizon))
        texts = (bound.scope, bound.filter, bound.representation, self.epoch, *_given(self.key, self.last_key))
        return all(type(number) is int and 0 <= number <= MAX_SEQUENCE for number in numbers) and all(
            type(text) is str for text in texts
        )


def _given(*values: object) -> list[object]:
    return [value for value in values if value is not None]


_CHECKSUM = 6


def _checksum(data: bytes) -> bytes:
    return blake2s(data, digest_size=_CHECKSUM).digest()


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


@lru_cache(maxsize=4096)
def _decode(token: str) -> Cursor:
    """Return what `token` encodes; from memory where a client polls with it again."""
    version, _, encoded = token.partition(".")
    if version != VERSION or len(token) > MAX_LENGTH or not token.isascii():
        raise InvalidCursor("The cursor is not one of this version.")
    try:
        raw = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        if raw[:_CHECKSUM] != _checksum(raw[_CHECKSUM:]) or _base64(raw) != encoded:
            raise ValueError
        feed, scope, filter_, representation, *place = json.loads(raw[_CHECKSUM:])
        cursor = Cursor(Binding(feed, scope, filter_, representation), *place)
        if not cursor.is_well_typed() or cursor.encode() != token:
            raise ValueError
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise InvalidCursor("The cursor is malformed.") from None
    return cursor
