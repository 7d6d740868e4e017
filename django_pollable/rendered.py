"""Pages of bytes: rendered by one request, given to all that ask for the same."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from django.db import connections
from django.http import HttpResponse
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from django_pollable.caches import shared_cache, spare
from django_pollable.conf import conf
from django_pollable.cursors import fingerprint_once
from django_pollable.signals import page_shared

FORMAT = 1
"""Goes into the names of pages: another one where `RenderedPage` is another."""

RENDERING_SECONDS = 5
"""How long the others believe that a request which has begun to render a page will finish it."""

PAUSES = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
"""How long the others wait between two looks for the page (seconds)."""

TOO_LARGE = "too large"

Outcome = Literal["hit", "waited", "rendered", "too-large", "cache-down"]
"""How a request got its page: made before, made by another while it waited, or made by itself: kept, or why not."""


class PageOfBytes(HttpResponse):
    """A page as it was rendered. `data` is there as on every answer of REST framework."""

    data = None


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """The bytes of a page, and the header fields that belong to them."""

    body: bytes
    content_type: str
    etag: str
    link: str | None

    def response(self) -> PageOfBytes:
        """Return the answer that is this page."""
        headers = {"Link": self.link} if self.link else None
        return PageOfBytes(self.body, content_type=self.content_type, headers=headers)


def name_of(view: Any, question: str) -> str | None:
    """
    Return a name for the bytes of the answer of `view` to `question`, or None where they are not to be shared.

    They are not where the view says that they vary by user, where they are no JSON, and within a
    transaction, which may see what others never will.
    """
    request = view.request
    renderer = request.accepted_renderer
    is_shared = not view.varies_by_user and conf.page_cache_seconds > 0 and isinstance(renderer, JSONRenderer)
    if not is_shared or connections[view.database].in_atomic_block:
        return None
    by = type(renderer).__module__, type(renderer).__qualname__, request.accepted_media_type
    return f"{question}.{fingerprint_once(by, request.scheme, request.get_host())}"


def share(view: Any, name: str, answer: Callable[[], tuple[Response, str]]) -> tuple[PageOfBytes, str]:
    """Return the page `name` and its tag; `answer` gives both where it has to be rendered."""

    def render() -> RenderedPage:
        response, etag = answer()
        response.accepted_renderer = view.request.accepted_renderer
        response.accepted_media_type = view.request.accepted_media_type
        response.renderer_context = view.get_renderer_context()  # type: ignore[attr-defined]
        body = response.rendered_content
        return RenderedPage(body, response["Content-Type"], etag, response.get("Link"))

    page, outcome = rendered_once(name, render)
    page_shared.send_robust(type(view), request=view.request, outcome=outcome)
    return page.response(), page.etag


def rendered_once(
    name: str, render: Callable[[], RenderedPage], *, sleep: Callable[[float], None] = time.sleep
) -> tuple[RenderedPage, Outcome]:
    """
    Return the page `name` from the shared cache, or render it and put it there; and which of these it was.

    One request renders while the others wait for it, at most as long as the sum of `PAUSES`. A name says
    all that the bytes depend on, so that no page is ever wrong. Where the cache is down each request
    renders for itself; so it does where the page is larger than `POLLABLE_PAGE_CACHE_MAX_BYTES`.
    """
    key = f"pollable:{conf.namespace}:page:{FORMAT}:{name}"
    found = _look(key)
    if isinstance(found, RenderedPage):
        return found, "hit"
    is_mine = found is None and spare(lambda: shared_cache().add(_claim(key), True, RENDERING_SECONDS), otherwise=True)
    try:
        if found is None:
            found = _look(key) if is_mine else _wait(key, sleep)
        if isinstance(found, RenderedPage):
            return found, "hit" if is_mine else "waited"
        page = render()
        return page, _keep(key, page) if found is None else "too-large"
    finally:
        if is_mine:
            spare(lambda: shared_cache().delete(_claim(key)), otherwise=False)


def _claim(key: str) -> str:
    return f"{key}:rendering"


def _look(key: str) -> RenderedPage | str | None:
    """Return the page, or that it is too large; None where it has not been rendered."""
    found: RenderedPage | str | None = spare(lambda: shared_cache().get(key), otherwise=None)
    return found


def _wait(key: str, sleep: Callable[[float], None]) -> RenderedPage | str | None:
    """Return what another request is rendering, or None where that takes too long."""
    for pause in PAUSES:
        sleep(pause)
        found = _look(key)
        if found is not None:
            return found
    return None


def _keep(key: str, page: RenderedPage) -> Outcome:
    is_too_large = len(page.body) > conf.page_cache_max_bytes

    def put() -> Outcome:
        shared_cache().set(key, TOO_LARGE if is_too_large else page, conf.page_cache_seconds)
        return "too-large" if is_too_large else "rendered"

    return spare(put, otherwise="cache-down")
