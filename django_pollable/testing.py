"""How a project tests its pollable views: a client that polls one as all clients do, and says what is wrong."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urljoin

from django.db import connections
from django.db.models import Model
from django.test import Client, override_settings

from django_pollable.client.answers import Answer, Page
from django_pollable.client.machine import Machine, Outcome
from django_pollable.client.mirror import Mirror
from django_pollable.client.waits import Pace
from django_pollable.ledger.options import FeedOptions
from django_pollable.ledger.sequencer import primary_of, settle_all
from django_pollable.ledger.watches import watches
from django_pollable.signals import poll_answered

PACE = Pace(drain_limit=10**6, revalidate_every=10**6)
FRESH = {"POLLABLE_PUBLISH_SECONDS": 0, "POLLABLE_HEAD_MAX_AGE_SECONDS": 0}
"""The settings with which a poll sees what has just been written."""

MOST = 5
"""How much of a kind a failure tells."""

_TABLE = re.compile(r"\b(?:FROM|JOIN)\s+[`\"](.+?)[`\"]")


class PollingClient:
    """
    A client of one feed, on Django's test client or REST framework's: it keeps what it is told in `rows`.

    A poll sees what has just been written: pending changes are numbered before it, and no head is from memory.

    Attributes:
        rows: the items, by the text of their primary key.
        response: the last answer, as the test client gives it.
    """

    def __init__(self, client: Client, url: str, *, headers: Mapping[str, str] | None = None, key: str = "id") -> None:
        """Follow `url`, a path with its filters or a whole URL; `key` is the member of items that names them."""
        self.url = url
        self.rows: dict[str, Any] = {}
        self.response: Any = None
        self._client, self._headers, self._key = client, dict(headers or {}), key
        self._machine = Machine.of(urljoin("http://testserver", url), PACE)
        self._mirror = Mirror(self.rows, key=key)
        self._told: set[str] = set()
        self._view: Any = None

    def sync(self) -> set[str]:
        """
        Poll until there is no more, and return the keys of the rows that are new, changed or gone.

        Raises:
            AssertionError: an answer is none that a client can go on with.
        """
        told: set[str] = set()
        may_begin_anew = True
        while True:
            outcome = self._poll()
            told |= self._keys_in(outcome.page)
            if outcome.kind == "resync" and may_begin_anew:
                may_begin_anew = False
            elif outcome.kind not in ("page", "idle"):
                raise AssertionError(self._refusal(outcome))
            elif outcome.page is None or not outcome.page.has_more:
                return told

    def assert_notices(self, *rows: Model | str) -> None:
        """Poll, and fail unless the feed tells of `rows` (objects or keys as text); without any, of something."""
        feed = self._feed
        told = self.sync()
        missing = [row for row in rows if _key_of(row) not in told]
        if told and not missing:
            return
        raise AssertionError(
            f"{self.url} tells of {_listed(told)}, and not of {_listed(map(repr, missing)) if rows else 'anything'}: "
            f"{feed.model.__name__} follows {_listed(feed.declaration.follows)}."
        )

    def assert_unchanged(self, *, max_queries: int | None = None) -> None:
        """Poll once, and fail unless the answer is a 304 that took at most `max_queries`, of all databases."""
        self._settle(self._feed)
        with _recorded() as queries:
            outcome = self._ask()
        if self.response.status_code == 200:
            raise AssertionError(f"{self.url} tells of {_listed(self._keys_in(outcome.page))}: a 304 was to come.")
        if self.response.status_code != 304:
            raise AssertionError(self._refusal(outcome))
        if max_queries is not None and len(queries) > max_queries:
            raise AssertionError("\n".join([f"The 304 of {self.url} took {len(queries)} queries:", *queries]))

    def assert_in_step(self) -> None:
        """Poll, and fail unless the rows are those that a client gets that begins now."""
        self.sync()
        other = PollingClient(self._client, self.url, headers=self._headers, key=self._key)
        other.sync()
        mine, theirs = self.rows, other.rows
        found = [f"{key}: the feed has not told that it is gone" for key in mine.keys() - theirs.keys()]
        found += [f"{key}: the feed has not told of it" for key in theirs.keys() - mine.keys()]
        for key in mine.keys() & theirs.keys():
            found += _differences(key, mine[key], theirs[key])
        if found:
            raise AssertionError("\n".join([f"{self.url} has not told all:", *sorted(found)[:MOST]]))

    def assert_never_told(self, *rows: Model | str) -> None:
        """Poll, and fail where an item or a removal has ever named one of `rows`."""
        self.sync()
        known = [row for row in rows if _key_of(row) in self._told]
        if known:
            raise AssertionError(f"{self.url} has told of {_listed(map(repr, known))}.")

    def assert_private(self, other: PollingClient) -> None:
        """Poll as both, and fail where a cache or a tag could give the one client's answer to the `other`."""
        for one, two in ((self, other), (other, self)):
            one.sync()
            control = one.response.headers.get("Cache-Control", "")
            if not re.search(r"\b(private|no-store)\b", control):
                raise AssertionError(f"Any cache may share the answers of {one.url}: Cache-Control is {control!r}.")
            for url in (one._machine.feed.url, one._machine.request.url):
                tag = one._get(url).headers["ETag"]
                if two._get(url, tag).status_code == 304:
                    raise AssertionError(
                        f"The tag of the one client is good for the other at {url}: `varies_by_user` is False, "
                        "or both are the same user."
                    )

    def assert_follows_what_it_reads(self, *, but: Iterable[type[Model]] = ()) -> None:
        """
        Fail where the view's queryset or serializer reads tables that the feed does not follow.

        It goes by the tables of the queries that the rows take which are there: each row needs its related
        ones. `but` are models whose changes no client has to see.
        """
        feed, view = self._feed, self._view
        with _recorded() as queries:
            rows = list(view.shown_rows.all())
            view.get_serializer(rows, many=True).data  # noqa: B018
        if not rows:
            raise AssertionError(f"{self.url} shows no row: make one, with all that belongs to it.")
        followed = {feed.model._meta.db_table, *(watch.table for watch in watches(feed))}
        followed |= {model._meta.db_table for model in but}
        read = {table for query in queries for table in _TABLE.findall(query)}
        lines = [f"{table}: {_advice(feed, table)}" for table in sorted(read - followed)]
        if lines:
            what = f"{type(view).__name__} reads tables that {feed.model.__name__} does not follow"
            raise AssertionError("\n".join([f"{what}: a change there is none of the feed.", *lines]))

    @property
    def _feed(self) -> FeedOptions:
        if self._view is None:
            raise AssertionError(f"Call `sync()` first: so far {self.url} has told nothing that could change.")
        feed: FeedOptions = self._view.get_feed()
        return feed

    def _poll(self) -> Outcome:
        if self._view is not None:
            self._settle(self._feed)
        return self._ask()

    def _ask(self) -> Outcome:
        request = self._machine.request
        response = self._get(request.url, request.etag)
        self.response = response
        headers = {name.lower(): value for name, value in response.headers.items()}
        answer = Answer(response.status_code, headers, b"" if response.streaming else response.content)
        outcome = self._machine.receive(answer, now=time.time(), draw=0.0)
        if outcome.page is not None:
            self._mirror(outcome.page)
            self._told |= self._keys_in(outcome.page)
        self._machine = outcome.next
        return outcome

    def _get(self, url: str, etag: str | None = None) -> Any:
        headers = {**self._headers, **({"If-None-Match": etag} if etag else {})}
        poll_answered.connect(self._remember)
        try:
            with override_settings(**FRESH):
                return self._client.get(url, headers=headers, secure=url.startswith("https:"))
        finally:
            poll_answered.disconnect(self._remember)

    def _remember(self, request: Any, **kwargs: Any) -> None:
        self._view = request.parser_context["view"]

    def _settle(self, feed: FeedOptions) -> None:
        settle_all(feed, using=primary_of(feed, using=self._view.database))

    def _keys_in(self, page: Page | None) -> set[str]:
        return set() if page is None else {str(item[self._key]) for item in page.items} | set(page.removed)

    def _refusal(self, outcome: Outcome) -> str:
        body = b"" if self.response.streaming else self.response.content[:200]
        return f"{self.url}: {self.response.status_code} ({outcome.reason}). {outcome.detail or body!r}"


@contextmanager
def _recorded() -> Iterator[list[str]]:
    """Give the list to which each query of the block is added."""
    queries: list[str] = []

    def record(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        queries.append(sql)
        return execute(sql, params, many, context)

    with ExitStack() as stack:
        for connection in connections.all():
            stack.enter_context(connection.execute_wrapper(record))
        yield queries


def _key_of(row: Model | str) -> str:
    return str(row.pk) if isinstance(row, Model) else str(row)


def _listed(names: Iterable[str]) -> str:
    found = sorted(names)
    return ", ".join(found[:MOST]) + (f" and {len(found) - MOST} more" if len(found) > MOST else "") or "nothing"


def _differences(key: str, mine: Any, theirs: Any) -> Iterator[str]:
    """Yield the members that one item has otherwise than the other."""
    for name in sorted({*mine, *theirs}):
        if mine.get(name) != theirs.get(name):
            yield f"{key}: `{name}` was told as {mine.get(name)!r} and is {theirs.get(name)!r}"


def _advice(feed: FeedOptions, table: str) -> str:
    """Return how `feed` can come to follow `table`."""
    paths = [path for path, model in _relations(feed.model, "", depth=2) if model._meta.db_table == table]
    if not paths:
        return "name its model in `but` where its changes do not matter."
    shortest = min(paths, key=lambda path: (path.count("__"), path))
    return f"add '{shortest}' to `follows`, do not read it, or name its model in `but`."


def _relations(model: type[Model], prefix: str, *, depth: int) -> Iterator[tuple[str, Any]]:
    """Yield the relations of `model`, as `follows` names them, and what they lead to."""
    for field in model._meta.get_fields():
        if field.is_relation and isinstance(field.related_model, type) and not field.name.endswith("+"):
            path = f"{prefix}{field.name}"
            yield path, field.related_model
            if depth > 1:
                yield from _relations(field.related_model, f"{path}__", depth=depth - 1)
