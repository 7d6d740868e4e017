"""What comes back from a poll: an answer or a fault, and the page that an answer can hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

__all__ = ["Answer", "Fault", "Page"]

MAX_CURSOR_LENGTH = 8192
LONGEST_TEXT = 300


class InvalidPage(ValueError):
    """The body of a 200 is not a page of a feed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read to its end: header names in lower case, the body decompressed."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Fault:
    """No answer; `reason` is `connect`, `timeout`, `network`, `protocol`, `too-large` or `redirect`."""

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """
    Changes, in order: the newest state of `items`, and the keys of what is gone.

    `is_reset`: a first sync begins; mark from here on what is seen. `ends_reset`: it is complete; drop,
    after this page, what was not marked. A page can be both. `has_more`: another page follows at once.
    """

    items: list[Any]
    removed: list[str]
    next_since: str
    has_more: bool = False
    is_reset: bool = False
    ends_reset: bool = False

    @classmethod
    def parse(cls, body: bytes) -> Page:
        """
        Return the page that `body` is.

        Raises:
            InvalidPage: it is cut off, not JSON, or lacks a member.
        """
        try:
            data = json.loads(body, parse_constant=_refuse)
        except (ValueError, RecursionError):
            raise InvalidPage("The body is not JSON.") from None
        if not isinstance(data, dict):
            raise InvalidPage("The body is not a page.")
        page = cls(*(data.get(name) for name in ("items", "removed", "next_since", "has_more", "reset")))  # type: ignore[arg-type]
        if not page._is_well_typed():
            raise InvalidPage("The body is not a page.")
        return page

    @property
    def is_empty(self) -> bool:
        """Return whether nothing has changed."""
        return not (self.items or self.removed)

    def _is_well_typed(self) -> bool:
        return (
            isinstance(self.items, list)
            and isinstance(self.removed, list)
            and all(isinstance(key, str) for key in self.removed)
            and isinstance(self.next_since, str)
            and 0 < len(self.next_since) <= MAX_CURSOR_LENGTH
            and self.next_since.isascii()
            and self.next_since.isprintable()
            and isinstance(self.has_more, bool)
            and isinstance(self.is_reset, bool)
        )


def problem_member(answer: Answer, name: str) -> str:
    """Return a text of the answer's problem details (RFC 9457), fit for a terminal, or an empty one."""
    try:
        data = json.loads(answer.body)
    except (ValueError, RecursionError):
        return ""
    value = data.get(name) if isinstance(data, dict) else None
    if not isinstance(value, str):
        return ""
    return "".join(letter if letter.isprintable() else " " for letter in value[:LONGEST_TEXT])


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
