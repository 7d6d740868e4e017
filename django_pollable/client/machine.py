"""
What a client does, without doing it: what to ask, what an answer means, how long to wait.

Nothing here reads a clock, draws a number or opens a connection. A machine never changes: an
outcome has the next one, which a client takes up once the page has been handled.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from django_pollable.client.answers import Answer, Fault, InvalidPage, Page, problem_member
from django_pollable.client.waits import Pace, freshness, retry_after, server_interval

Kind = Literal["page", "idle", "backoff", "resync", "stop"]

EXPIRY_MEMORY_SECONDS = 600.0
"""How long a 410 counts as a failure: another one within it waits longer."""

_ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e]{0,512}"')
TRANSIENT = frozenset((HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """
    What a client keeps: a cursor, and the tag that belongs to it and to no other.

    `is_resetting`: a first sync has begun and not ended. `unchanged`: 304s since the last 200.
    """

    cursor: str | None = None
    etag: str | None = None
    is_resetting: bool = False
    unchanged: int = 0


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed's URL without `since`, its parameters in the server's order, so that clients share cache entries."""

    url: str
    start: str | None = None
    """The `since` that the URL had: where a client without a checkpoint begins."""

    @classmethod
    def of(cls, url: str) -> Feed:
        """
        Return the feed at `url`.

        Raises:
            ValueError: it is no URL of http or https.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("The URL of a feed begins with http:// or https:// and a host.")
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        start = next((value for name, value in reversed(pairs) if name == "since"), None)
        kept = sorted((name, value) for name, value in pairs if name != "since")
        return cls(parts._replace(query=urlencode(kept), fragment="").geturl(), start)

    def at(self, cursor: str | None) -> str:
        """Return the URL of what follows `cursor`."""
        if cursor is None:
            return self.url
        parts = urlsplit(self.url)
        pairs = [*parse_qsl(parts.query, keep_blank_values=True), ("since", cursor)]
        return parts._replace(query=urlencode(sorted(pairs))).geturl()

    @property
    def name(self) -> str:
        """Return the URL without the credentials that it may have."""
        parts = urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask; `etag` is the value of `If-None-Match`, or None for none."""

    url: str
    etag: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What an answer means.

    `kind`: `page` (handle it, then take up `next`), `idle`, `backoff` (a failure: nothing is lost),
    `resync` (the cursor has expired: a first sync follows) or `stop` (asking again is no use).
    `wait` is in seconds. `reason` is a short code, `detail` a sentence for people.
    """

    kind: Kind
    reason: str
    wait: float
    next: Machine
    page: Page | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """A client of one feed between two polls; only `checkpoint` outlives the process."""

    feed: Feed
    pace: Pace = field(default_factory=Pace)
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    failures: int = 0
    quiet: int = 0
    minimum: float = 0.0
    expiries: int = 0
    expired_at: float = 0.0
    drained: tuple[str | None, ...] = ()
    """The cursors of the pages that followed each other without a wait."""

    @classmethod
    def of(cls, url: str, pace: Pace | None = None) -> Machine:
        """Return the machine of a client that has no checkpoint; `url` may have a `since` to begin at."""
        feed = Feed.of(url)
        return cls(feed, pace or Pace(), Checkpoint(feed.start))

    @property
    def request(self) -> Request:
        """Return what to ask: now and then without the tag, so that a cache's stuck 304 ends."""
        kept = self.checkpoint
        is_believed = kept.unchanged < self.pace.revalidate_every
        return Request(self.feed.at(kept.cursor), kept.etag if is_believed else None)

    def receive(self, answer: Answer | Fault, *, now: float, draw: float) -> Outcome:
        """Return what `answer` means; `now` is Unix seconds, `draw` a number from 0 up to 1."""
        if isinstance(answer, Fault):
            return self._back_off(answer.reason, draw, detail=answer.detail)
        status = answer.status
        if status == HTTPStatus.OK:
            return self._page(answer, draw)
        if status == HTTPStatus.NOT_MODIFIED:
            return self._unchanged(answer, draw)
        detail = problem_member(answer, "detail")
        if status == HTTPStatus.GONE:
            return self._expired(answer, now, draw, detail)
        if 400 <= status < 500 and status not in TRANSIENT:
            return Outcome("stop", f"status-{status}", 0.0, self, detail=detail)
        return self._back_off(f"status-{status}", draw, wait=retry_after(answer.headers, now=now), detail=detail)

    def _page(self, answer: Answer, draw: float) -> Outcome:
        try:
            page = Page.parse(answer.body)
        except InvalidPage as error:
            return self._back_off("invalid-page", draw, detail=str(error))
        kept = self.checkpoint
        left = (*self.drained, kept.cursor)
        is_still = page.next_since == kept.cursor and page.is_empty and not page.has_more
        if page.next_since in left and not is_still:
            return self._back_off("no-progress", draw, detail="The page does not lead on.")
        begins = page.is_reset or kept.cursor is None
        is_resetting = begins or kept.is_resetting
        page = replace(page, is_reset=begins, ends_reset=is_resetting and not page.has_more)
        etag = answer.headers.get("etag", "")
        is_tag = not page.has_more and _ETAG.fullmatch(etag) is not None
        following = self._succeed(
            answer,
            checkpoint=Checkpoint(page.next_since, etag if is_tag else None, is_resetting and page.has_more),
            quiet=self.quiet + 1 if page.is_empty else 0,
        )
        if page.has_more and len(left) < self.pace.drain_limit:
            return Outcome("page", "more", 0.0, replace(following, drained=left), page)
        wait = following._idle(answer, draw)
        if page.is_empty and not page.is_reset and not page.ends_reset and not page.has_more:
            return Outcome("idle", "empty", wait, following)
        return Outcome("page", "more" if page.has_more else "last", wait, following, page)

    def _unchanged(self, answer: Answer, draw: float) -> Outcome:
        if self.request.etag is None:
            return self._back_off("unasked-304", draw, detail="A 304 came to a request without a tag.")
        kept = replace(self.checkpoint, unchanged=self.checkpoint.unchanged + 1)
        following = self._succeed(answer, checkpoint=kept, quiet=self.quiet + 1)
        return Outcome("idle", "not-modified", following._idle(answer, draw), following)

    def _succeed(self, answer: Answer, *, checkpoint: Checkpoint, quiet: int) -> Machine:
        told = server_interval(answer.headers)
        minimum = self.minimum if told is None else told
        return replace(self, checkpoint=checkpoint, failures=0, quiet=quiet, minimum=minimum, drained=())

    def _idle(self, answer: Answer, draw: float) -> float:
        quiet = max(self.quiet - 1, 0)
        return self.pace.idle(quiet, minimum=max(self.minimum, freshness(answer.headers)), draw=draw)

    def _expired(self, answer: Answer, now: float, draw: float, detail: str) -> Outcome:
        is_recent = 0 <= now - self.expired_at < EXPIRY_MEMORY_SECONDS
        expiries = self.expiries + 1 if is_recent else 1
        following = replace(self, checkpoint=Checkpoint(), quiet=0, drained=(), expiries=expiries, expired_at=now)
        wait = retry_after(answer.headers, now=now)
        seconds = self.pace.backoff(max(expiries, self.failures + 1), minimum=self.minimum, retry_after=wait, draw=draw)
        return Outcome("resync", problem_member(answer, "reason") or "status-410", seconds, following, detail=detail)

    def _back_off(self, reason: str, draw: float, *, wait: float = 0.0, detail: str = "") -> Outcome:
        failures = self.failures + 1
        seconds = self.pace.backoff(failures, minimum=self.minimum, retry_after=wait, draw=draw)
        return Outcome("backoff", reason, seconds, replace(self, failures=failures), detail=detail)
