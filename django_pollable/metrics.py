"""
Prometheus metrics of what this process does: polls, shared pages, settles (extra `metrics`).

`MetricsMiddleware` in `MIDDLEWARE` switches them on. Labels are names from the project's code and never
a user, a URL or a scope, so that their number is bounded.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, cast, get_args

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import ResolverMatch
from prometheus_client import Counter, Histogram

from django_pollable.decorators import GUARDED
from django_pollable.exceptions import ExpiryReason
from django_pollable.files import SAFE, RangeMixin
from django_pollable.ledger.options import feed_of
from django_pollable.mixins import PollableListMixin, PollableMixin
from django_pollable.pagination import FeedPagination
from django_pollable.signals import changes_settled, page_shared

logger = logging.getLogger(__name__)

STATUSES = (200, 206, 304, 400, 401, 403, 404, 410, 412, 416, 429, 500, 503)
"""Those that a poll is answered with; another one is counted with its kind, as `4xx`."""

REASONS: tuple[str, ...] = get_args(ExpiryReason)

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
BYTES = (256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20)

POLLS = Counter("pollable_polls", "GET and HEAD requests that polled views have answered.", ["view", "status"])
POLL_SECONDS = Histogram(
    "pollable_poll_duration_seconds",
    "From the middleware to the rendered answer; not what is streamed afterwards.",
    ["view", "status"],
    buckets=SECONDS,
)
SIZE = Histogram("pollable_answer_size_bytes", "Bodies of 200 and 206, as they leave Django.", ["view"], buckets=BYTES)
FIRST_SYNCS = Counter("pollable_first_syncs", "First pages of first syncs.", ["view"])
EXPIRED = Counter("pollable_cursors_expired", "Answers of 410, by what made the cursor expire.", ["view", "reason"])
SHARED_PAGES = Counter("pollable_shared_pages", "Pages of bytes, by how a request got its own.", ["view", "outcome"])
SETTLED = Counter("pollable_settled_notes", "Notes of changes that this process has numbered.", ["feed", "database"])
SETTLE_SECONDS = Histogram(
    "pollable_settle_duration_seconds",
    "Transactions that number a batch of changes, to their commit.",
    ["feed", "database"],
    buckets=SECONDS,
)


class MetricsMiddleware:
    """
    Counts the polls of pollable views, of views with `RangeMixin`, and of those with `ratelimit` or `shed_load`.

    Put it first in `MIDDLEWARE`: it sees what the others have made of an answer.
    """

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._call_async(request)
        began_at = time.perf_counter()
        response: HttpResponseBase = self.get_response(request)
        _count(request, response, time.perf_counter() - began_at)
        return response

    async def _call_async(self, request: HttpRequest) -> HttpResponseBase:
        began_at = time.perf_counter()
        response: HttpResponseBase = await self.get_response(request)
        _count(request, response, time.perf_counter() - began_at)
        return response


def _count(request: HttpRequest, response: HttpResponseBase, seconds: float) -> None:
    """Count a poll, and let no failure of that reach the answer."""
    match = request.resolver_match
    if request.method not in SAFE or match is None:
        return
    if not (GUARDED in request.META or _is_pollable(_class_of(match.func))):
        return
    try:
        _observe(request, response, match, seconds)
    except Exception as error:  # noqa: BLE001 -- as a full disk: PROMETHEUS_MULTIPROC_DIR has a file of each process
        _log(type(error).__name__)


def _observe(request: HttpRequest, response: HttpResponseBase, match: ResolverMatch, seconds: float) -> None:
    view, code = match.view_name, response.status_code
    _introduce(view)
    status = str(code) if code in STATUSES else f"{code // 100}xx"
    POLLS.labels(view, status).inc()
    POLL_SECONDS.labels(view, status).observe(seconds)
    if code == 410:
        data = getattr(response, "data", None)
        reason = data.get("reason") if isinstance(data, dict) else None
        if reason in REASONS:
            EXPIRED.labels(view, reason).inc()
    if code in (200, 206) and request.method == "GET":
        size = _size(response)
        if size is not None:
            SIZE.labels(view).observe(size)
        places = _position_parameters(match.func)
        if code == 200 and places and not any(name in request.GET for name in places):
            FIRST_SYNCS.labels(view).inc()


@cache
def _introduce(view: str) -> None:
    """Begin series at zero: who rates them sees no first step of one that begins at one."""
    for status in ("200", "304", "429", "503"):
        POLLS.labels(view, status)
    for reason in REASONS:
        EXPIRED.labels(view, reason)


def _size(response: HttpResponseBase) -> int | None:
    """Return the length of the body (bytes), or None where only its end will tell."""
    if not response.streaming:
        return len(cast(HttpResponse, response).content)
    length = response.headers.get("Content-Length")
    return int(length) if length is not None else None


def _is_pollable(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, PollableMixin | RangeMixin)


def _position_parameters(view: Any) -> tuple[str, ...]:
    """Return the query parameters that a first sync has not: none where the view is no list of a feed."""
    kind = _class_of(view)
    is_list = getattr(view, "actions", {}).get("get", "list") == "list"
    if kind is None or not is_list or not issubclass(kind, PollableListMixin):
        return ()
    return _parameters(view.initkwargs.get("pagination_class", kind.pagination_class))


@cache
def _parameters(paginator: Any) -> tuple[str, ...]:
    is_of_feeds = isinstance(paginator, type) and issubclass(paginator, FeedPagination)
    return paginator().position_parameters if is_of_feeds else ()


def _class_of(view: Any) -> Any:
    return getattr(view, "view_class", None) or getattr(view, "cls", None)


@cache
def _log(kind: str) -> None:
    """Log the failure under way: one of each kind in a process."""
    logger.exception("polls cannot be counted", extra={"pollable_event": "metrics-failed"})


def _note_shared_page(sender: type, *, request: Any, outcome: str, **kwargs: Any) -> None:
    SHARED_PAGES.labels(request.resolver_match.view_name, outcome).inc()


def _note_settle(sender: Any, *, using: str, count: int, seconds: float, **kwargs: Any) -> None:
    feed = feed_of(sender).name
    SETTLED.labels(feed, using).inc(count)
    SETTLE_SECONDS.labels(feed, using).observe(seconds)


page_shared.connect(_note_shared_page, dispatch_uid="pollable.metrics")
changes_settled.connect(_note_settle, dispatch_uid="pollable.metrics")
