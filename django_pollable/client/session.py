"""What the pollers share: one client's way through a feed, and what can be seen of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from django_pollable.client.answers import Answer, Fault, Page
from django_pollable.client.machine import Checkpoint, Kind, Machine, Outcome, Request
from django_pollable.client.waits import Pace

__all__ = ["Event", "NotAcknowledged", "PollingStopped", "State"]

logger = logging.getLogger("django_pollable.client")
logger.addHandler(logging.NullHandler())
LEVELS: dict[Kind, int] = {
    "page": logging.DEBUG,
    "idle": logging.DEBUG,
    "backoff": logging.WARNING,
    "resync": logging.WARNING,
    "stop": logging.ERROR,
}


class PollingStopped(Exception):
    """The server's answer says that asking again is no use: 401, 403, 404 and the like. See `outcome`."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(f"The feed cannot be polled: {outcome.reason}. {outcome.detail}".strip())
        self.outcome = outcome


class NotAcknowledged(RuntimeError):
    """The page before was neither acknowledged nor was the iteration left: nothing would ever move."""

    def __init__(self) -> None:
        super().__init__("Call `ack()` once a page is handled, or leave the loop.")


@dataclass(frozen=True, slots=True)
class Event:
    """
    One poll, for logs and metrics.

    Attributes:
        kind, reason, detail, wait: those of the outcome; `wait` in seconds.
        status: of the answer; 0 where none came.
        size: of the body, decompressed (bytes).
        seconds: from the request to the end of the answer.
        items, removed: of the page (rows).
    """

    kind: Kind
    reason: str
    detail: str
    status: int
    size: int
    seconds: float
    wait: float
    items: int = 0
    removed: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """
    Where a poller stands.

    A failed poll leaves `checkpoint` as it was; `failures` and `last` say so. `rows` is what the first sync has
    brought so far (while `is_syncing`) or in all. `size` is of all bodies (bytes), `next_at` Unix seconds.
    """

    checkpoint: Checkpoint
    is_syncing: bool = False
    is_stopped: bool = False
    failures: int = 0
    polls: int = 0
    not_modified: int = 0
    size: int = 0
    rows: int = 0
    next_at: float = 0.0
    last: Event | None = None


class Session:
    """
    A machine, the page that waits to be acknowledged, and the state that people see.

    Order is everything: the machine moves on only by `acknowledge()`, which comes after the handler.
    """

    def __init__(self, url: str, pace: Pace, identity: str, on_event: Callable[[Event], object] | None) -> None:
        self._machine = Machine.of(url, pace)
        self._on_event = on_event
        self._pending: Outcome | None = None
        self._start = self._machine.checkpoint
        self.state = State(self._machine.checkpoint)
        self.key = f"{self._machine.feed.name} {identity}".strip()

    @property
    def checkpoint(self) -> Checkpoint:
        """Return what a store should hold."""
        return self._machine.checkpoint

    @property
    def pending(self) -> Checkpoint | None:
        """Return where the page that was delivered last leads, if it has not been acknowledged."""
        return self._pending.next.checkpoint if self._pending else None

    def begin(self, stored: Checkpoint | None) -> Request:
        """Return what to ask from where the store is: it knows better, for a transaction can have been rolled back."""
        self._pending = None
        stored, kept = stored or self._start, self.checkpoint
        if replace(stored, unchanged=kept.unchanged) != kept:
            self._machine = replace(self._machine, checkpoint=stored)
        return self._machine.request

    def receive(self, answer: Answer | Fault, *, now: float, draw: float, seconds: float) -> Outcome:
        """Return what `answer` means, and tell it; a page waits to be acknowledged."""
        outcome = self._machine.receive(answer, now=now, draw=draw)
        if outcome.kind == "page":
            self._pending = outcome
        else:
            self._machine = outcome.next
        self._tell(outcome, answer, now, seconds)
        return outcome

    def acknowledge(self) -> None:
        """Move on to what follows the page."""
        if self._pending is not None:
            self._machine, self._pending = self._pending.next, None
            self.state = replace(self.state, checkpoint=self.checkpoint)

    def _tell(self, outcome: Outcome, answer: Answer | Fault, now: float, seconds: float) -> None:
        page = outcome.page
        status, size = (answer.status, len(answer.body)) if isinstance(answer, Answer) else (0, 0)
        rows, gone = (len(page.items), len(page.removed)) if page else (0, 0)
        is_syncing = outcome.next.checkpoint.cursor is None or outcome.next.checkpoint.is_resetting
        event = Event(outcome.kind, outcome.reason, outcome.detail, status, size, seconds, outcome.wait, rows, gone)
        before = self.state
        self.state = State(
            checkpoint=self.checkpoint,
            is_syncing=is_syncing,
            is_stopped=outcome.kind == "stop",
            failures=outcome.next.failures,
            polls=before.polls + 1,
            not_modified=before.not_modified + (status == 304 and outcome.kind == "idle"),
            size=before.size + size,
            rows=_count(before.rows, page) if page and (is_syncing or page.ends_reset) else before.rows,
            next_at=now + outcome.wait,
            last=event,
        )
        facts = {"pollable_event": f"client-{event.kind}", "pollable_reason": event.reason, "pollable_status": status}
        logger.log(LEVELS[event.kind], "%s: %s, %s %s", self.key, event.kind, event.reason, event.detail, extra=facts)
        if self._on_event is not None:
            self._on_event(event)


def _count(rows: int, page: Page) -> int:
    return len(page.items) + (0 if page.is_reset else rows)
