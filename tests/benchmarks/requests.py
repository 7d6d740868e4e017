"""Requests that benchmarks repeat: made from the answers to others, as clients do."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.core.handlers.base import BaseHandler
from django.test import RequestFactory

from django_pollable.cursors import Cursor
from tests.benchmarks.models import Entry
from tests.benchmarks.rows import TOKEN

if TYPE_CHECKING:
    from tests.benchmarks.cases import Case

TOKENS = {"Authorization": f"Token {TOKEN}"}


@dataclass(frozen=True)
class Ask:
    """One request."""

    path: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def of(self, **query: str) -> Ask:
        """Return the request with a query."""
        return replace(self, path=f"{self.path}?{urlencode(query)}")

    def given(self, **headers: str) -> Ask:
        """Return the request with more headers; underscores stand for hyphens."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers={**self.headers, **more})


Handle = Callable[[Ask], Any]
"""Answers a request with Django's response."""

Prepare = Callable[[Ask, Handle], Ask]
"""Makes of the first request of a case the one that is repeated."""


def handler() -> Handle:
    """Return what answers requests in this process, through the middleware."""
    django, factory = BaseHandler(), RequestFactory()
    django.load_middleware()

    def handle(ask: Ask) -> Any:
        return django.get_response(factory.get(ask.path, headers=dict(ask.headers)))

    return handle


def plain(ask: Ask, handle: Handle) -> Ask:
    """Ask as it stands."""
    return ask


def unchanged(ask: Ask, handle: Handle) -> Ask:
    """Ask again with the validators of the first answer."""
    response = handle(ask)
    if "ETag" in response:
        return ask.given(If_None_Match=response["ETag"])
    return ask.given(If_Modified_Since=response["Last-Modified"])


def empty_delta(ask: Ask, handle: Handle) -> Ask:
    """Ask a feed for what follows its head, without a validator."""
    return ask.of(since=_now(ask, handle).encode())


def unchanged_delta(ask: Ask, handle: Handle) -> Ask:
    """Poll an unchanged feed as clients do: with the cursor and the tag of the last answer."""
    return unchanged(empty_delta(ask, handle), handle)


def deep_delta(ask: Ask, handle: Handle) -> Ask:
    """Ask a feed for the changes that follow the middle of its history."""
    head = _now(ask, handle)
    return ask.of(since=replace(head, sequence=head.sequence // 2).encode())


def deep_sync(ask: Ask, handle: Handle) -> Ask:
    """Ask a feed for the page in the middle of its first sync."""
    head = _now(ask, handle)
    return ask.of(since=replace(head, key=str(head.sequence // 2), last_key=str(head.sequence)).encode())


def deep_page(ask: Ask, handle: Handle) -> Ask:
    """Ask for the page in the middle by its number."""
    return ask.of(page=str(max(1, Entry.objects.count() // 200)))


def deep_cursor(ask: Ask, handle: Handle) -> Ask:
    """Ask for the page in the middle by REST framework's cursor."""
    position = urlencode({"p": str(_middle().updated_at)})
    return ask.of(cursor=b64encode(position.encode()).decode())


def deep_keyset(ask: Ask, handle: Handle) -> Ask:
    """Ask for what was updated after the row in the middle."""
    middle = _middle()
    return ask.of(after=f"{middle.updated_at.isoformat()},{middle.pk}")


def empty_keyset(ask: Ask, handle: Handle) -> Ask:
    """Ask for what was updated after the last row."""
    last = Entry.objects.latest("updated_at")
    return ask.of(after=f"{last.updated_at.isoformat()},{last.pk}")


def _now(ask: Ask, handle: Handle) -> Cursor:
    return Cursor.decode(json.loads(handle(ask.of(since="now")).content)["next_since"])


def _middle() -> Any:
    return Entry.objects.get(pk=Entry.objects.latest("pk").pk // 2)


def prepared(case: Case, handle: Handle | None = None) -> Callable[[], None]:
    """Return what asks for `case` once; it fails where the answer is another one."""
    handle = handle or handler()
    ask = case.prepare(case.first, handle)

    def once() -> None:
        response = handle(ask)
        assert response.status_code == case.status, (ask, response.status_code, response.content[:200])

    return once
