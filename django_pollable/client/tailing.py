"""
What a client of a growing log does, without doing it: which bytes to ask, what an answer means, how long to wait.

Nothing here reads a clock, draws a number or opens a connection. A machine never changes: an outcome has
the next one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Literal

from django_pollable.client.answers import Answer, Fault, problem_member
from django_pollable.client.machine import TRANSIENT, Feed
from django_pollable.client.waits import Pace, freshness, retry_after, server_interval

Kind = Literal["text", "idle", "backoff", "restart", "stop"]

CHUNK = 1 << 20
"""What is asked for at once (bytes)."""

_STRONG_TAG = re.compile(r'"[\x21\x23-\x7e]{0,512}"')
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.ASCII)
_SIZE = re.compile(r"bytes \*/(\d{1,18})", re.ASCII)


class TailStopped(Exception):
    """The server's answer says that asking again is no use: 401, 403, 404 and the like. See `outcome`."""

    def __init__(self, outcome: TailOutcome) -> None:
        super().__init__(f"The log cannot be followed: {outcome.reason}. {outcome.detail}".strip())
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Place:
    """
    How much of a log a client has: whole characters only.

    Attributes:
        offset: bytes.
        etag: the strong tag that came with the last of them, or None.
        is_end: there was no more.
    """

    offset: int = 0
    etag: str | None = None
    is_end: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """
    Text that a log has got.

    `is_restart`: the log has begun anew, and everything before this piece is void. `place` is the one after it.
    """

    text: str
    place: Place
    is_restart: bool = False


@dataclass(frozen=True, slots=True)
class TailOutcome:
    """
    What an answer means.

    `kind`: `text` (see `piece`), `idle`, `backoff` (a failure: nothing is lost), `restart` (the log has begun anew:
    everything is asked for) or `stop` (asking again is no use). `wait` is in seconds.
    """

    kind: Kind
    reason: str
    wait: float
    next: TailMachine
    piece: Piece | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TailMachine:
    """A client of one log between two requests; only `place` outlives the process."""

    url: str
    pace: Pace = field(default_factory=Pace)
    place: Place = field(default_factory=Place)
    last: int | None = None
    """Where a client without a place begins: so many bytes before the end, or at the beginning."""
    chunk: int = CHUNK
    failures: int = 0
    quiet: int = 0
    minimum: float = 0.0
    drained: int = 0
    is_restarting: bool = False

    def __post_init__(self) -> None:
        Feed.of(self.url)
        if self.chunk < 4 or (self.last is not None and self.last < 1):
            raise ValueError("`chunk` has room for a character (4 bytes), and `last` is at least 1.")

    @property
    def headers(self) -> dict[str, str]:
        """Return what to ask: no more than `chunk`, and only if the log still begins with what is there."""
        offset, etag = self.place.offset, self.place.etag
        if self._is_suffix:
            return {"Range": f"bytes=-{self.last}"}
        fields = {"Range": f"bytes={offset}-{offset + self.chunk - 1}"}
        if etag is not None:
            fields["If-Range"] = etag
            if self.place.is_end:
                fields["If-None-Match"] = etag
        return fields

    def receive(self, answer: Answer | Fault, *, now: float, draw: float) -> TailOutcome:
        """Return what `answer` means; `now` is Unix seconds, `draw` a number from 0 up to 1."""
        if isinstance(answer, Fault):
            if answer.reason == "too-large" and self.place.offset:
                return self._restart(answer.reason)  # everything came: the log is another one
            return self._back_off(answer.reason, draw, detail=answer.detail)
        status = answer.status
        if status == HTTPStatus.PARTIAL_CONTENT:
            return self._part(answer, draw)
        if status == HTTPStatus.OK:
            return self._everything(answer, draw)
        if status == HTTPStatus.NOT_MODIFIED:
            return self._unchanged(answer, draw)
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return self._not_there(answer, draw)
        detail = problem_member(answer, "detail")
        if 400 <= status < 500 and status not in TRANSIENT:
            return TailOutcome("stop", f"status-{status}", 0.0, self, detail=detail)
        return self._back_off(f"status-{status}", draw, wait=retry_after(answer.headers, now=now), detail=detail)

    @property
    def _is_suffix(self) -> bool:
        return self.last is not None and self.place == Place() and not self.is_restarting

    def _part(self, answer: Answer, draw: float) -> TailOutcome:
        found = _CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
        first, last, size = map(int, found.groups()) if found else (-1, -1, -1)
        is_asked = first == self.place.offset or (self._is_suffix and first >= 0)
        if not is_asked or last - first + 1 != len(answer.body) or last >= size:
            return self._back_off("invalid-range", draw, detail="The answer is not the range that was asked for.")
        cut = _begun(answer.body) if self._is_suffix and first else 0
        return self._text(answer, first + cut, answer.body[cut:], draw, is_end=last + 1 == size)

    def _everything(self, answer: Answer, draw: float) -> TailOutcome:
        following = replace(self, is_restarting=self.is_restarting or self.place.offset > 0)
        return following._text(answer, 0, answer.body, draw, is_end=True)

    def _text(self, answer: Answer, offset: int, body: bytes, draw: float, *, is_end: bool) -> TailOutcome:
        whole = _whole(body)
        etag = answer.headers.get("etag", "")
        place = Place(offset + whole, etag if _STRONG_TAG.fullmatch(etag) else None, is_end)
        if not whole and not self.is_restarting:
            return self._idle("empty", answer, draw, place)
        piece = Piece(body[:whole].decode(errors="replace"), place, self.is_restarting)
        following = replace(self._succeed(answer, place, quiet=0), is_restarting=False)
        if not is_end and self.drained + 1 < self.pace.drain_limit:
            return TailOutcome("text", "more", 0.0, replace(following, drained=self.drained + 1), piece)
        return TailOutcome("text", "end" if is_end else "more", following._wait(answer, draw), following, piece)

    def _unchanged(self, answer: Answer, draw: float) -> TailOutcome:
        if "If-None-Match" not in self.headers:
            return self._back_off("unasked-304", draw, detail="A 304 came to a request without a tag.")
        return self._idle("not-modified", answer, draw, self.place)

    def _not_there(self, answer: Answer, draw: float) -> TailOutcome:
        found = _SIZE.fullmatch(answer.headers.get("content-range", ""))
        size = int(found[1]) if found else -1
        if size == self.place.offset:
            return self._idle("not-grown", answer, draw, replace(self.place, is_end=True))
        if 0 <= size < self.place.offset:
            return self._restart("shrunk")
        return self._back_off("invalid-range", draw, detail="What is not there has not been asked for.")

    def _restart(self, reason: str) -> TailOutcome:
        return TailOutcome("restart", reason, 0.0, replace(self, place=Place(), is_restarting=True))

    def _idle(self, reason: str, answer: Answer, draw: float, place: Place) -> TailOutcome:
        following = self._succeed(answer, place, quiet=self.quiet + 1)
        return TailOutcome("idle", reason, following._wait(answer, draw), following)

    def _succeed(self, answer: Answer, place: Place, *, quiet: int) -> TailMachine:
        told = server_interval(answer.headers)
        minimum = self.minimum if told is None else told
        return replace(self, place=place, failures=0, quiet=quiet, minimum=minimum, drained=0)

    def _wait(self, answer: Answer, draw: float) -> float:
        minimum = max(self.minimum, freshness(answer.headers))
        return self.pace.idle(max(self.quiet - 1, 0), minimum=minimum, draw=draw)

    def _back_off(self, reason: str, draw: float, *, wait: float = 0.0, detail: str = "") -> TailOutcome:
        failures = self.failures + 1
        seconds = self.pace.backoff(failures, minimum=self.minimum, retry_after=wait, draw=draw)
        return TailOutcome("backoff", reason, seconds, replace(self, failures=failures), detail=detail)


def _whole(text: bytes) -> int:
    """Return how many bytes of `text` come before a character of UTF-8 that is cut off at its end."""
    for back, byte in enumerate(reversed(text[-3:]), start=1):
        if byte >= 0xC0:
            length = 2 + (byte >= 0xE0) + (byte >= 0xF0)
            return len(text) - back if back < length else len(text)
        if byte < 0x80:
            break
    return len(text)


def _begun(text: bytes) -> int:
    """Return how many bytes at the begin of `text` belong to a character that has begun before it."""
    return next((place for place, byte in enumerate(text[:3]) if not 0x80 <= byte < 0xC0), min(3, len(text)))
