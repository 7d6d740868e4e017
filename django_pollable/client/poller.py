"""`Poller`: follow a feed from a thread of one's own, a cron job or a task."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from django_pollable.client.answers import Page
from django_pollable.client.checkpoints import CheckpointStore, MemoryStore
from django_pollable.client.credentials import Token, authorization
from django_pollable.client.fetching import Limits, fetch, refuse_caches
from django_pollable.client.machine import Checkpoint, Outcome
from django_pollable.client.session import Event, NotAcknowledged, PollingStopped, Session, State
from django_pollable.client.waits import Pace

Handler = Callable[[Page], object]


class Poller:
    """
    Delivers every change of the feed at `url` at least once, whatever fails in between.

    Arguments:
        store: keeps the checkpoint; without one it is lost with the poller.
        token: `Authorization: Token ...`, or a whole value with its scheme; a callable is asked each time.
        auth: what httpx2 takes as `auth`. headers: further ones.
        identity: who asks, where that is not in the URL: another one begins anew.
        client: an `httpx2.Client` or one like it, without a cache; it stays open.
        on_event: is called after each poll.
        clock, draw, sleep: Unix seconds, random numbers from 0 up to 1, and waiting.

    Raises:
        ValueError: `url` is no URL of http or https.
        CachingClient: `client` has a cache.
    """

    def __init__(
        self,
        url: str,
        *,
        store: CheckpointStore | None = None,
        token: Token = None,
        auth: Any = None,
        headers: Mapping[str, str] | None = None,
        identity: str = "",
        client: Any = None,
        pace: Pace | None = None,
        limits: Limits | None = None,
        on_event: Callable[[Event], object] | None = None,
        clock: Callable[[], float] = time.time,
        draw: Callable[[], float] = random.random,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        refuse_caches(client)
        self._session = Session(url, pace or Pace(), identity, on_event)
        self.store: CheckpointStore = store or MemoryStore()
        self._token, self._auth, self._headers = token, {"auth": auth} if auth else {}, headers or {}
        self._client, self._is_own = client or _client_of(url), client is None
        self._limits = limits or Limits()
        self._stopping = threading.Event()
        self._clock, self._draw, self._sleep = clock, draw, sleep or self._stopping.wait

    @property
    def state(self) -> State:
        """Return where the poller stands."""
        return self._session.state

    @property
    def key(self) -> str:
        """Return what names the feed and the identity in the store."""
        return self._session.key

    @property
    def pending(self) -> Checkpoint | None:
        """Return where the page leads that came last and has not been acknowledged."""
        return self._session.pending

    def step(self, handler: Handler | None = None) -> Outcome:
        """
        Ask once, and give a page to `handler`; without one the page waits for `ack()`.

        What `handler` raises is raised, and the page comes again with the next step.
        """
        session = self._session
        request = session.begin(self.store.load(session.key))
        headers = {**self._headers, **authorization(self._token)}
        begin = time.monotonic()
        answer = fetch(self._client, request, headers=headers, auth=self._auth, limits=self._limits)
        outcome = session.receive(answer, now=self._clock(), draw=self._draw(), seconds=time.monotonic() - begin)
        if outcome.page is not None and handler is not None:
            handler(outcome.page)
            self.ack()
        elif outcome.kind == "resync" or outcome.reason == "empty":
            self._save()
        return outcome

    def ack(self) -> None:
        """
        Store the place after the page that came last: it has been handled. Once more does nothing.

        A handler may call it inside its own transaction, if the store writes there: then page and
        checkpoint are committed together, and nothing is ever handled twice.
        """
        if self._session.pending is not None:
            self.store.save(self._session.key, self._session.pending)
            self._session.acknowledge()

    def run(self, handler: Handler) -> None:
        """
        Poll until `stop()`.

        Raises:
            PollingStopped: the server says that asking again is no use.
        """
        for page in self:
            handler(page)
            self.ack()

    def catch_up(self, handler: Handler) -> Outcome:
        """Poll until a page is the last, or something is wrong, and return how it ended; for cron jobs and tasks."""
        outcome = self.step(handler)
        has_resynced = False
        while not self._stopping.is_set():
            if outcome.kind == "resync" and not has_resynced:
                has_resynced = True
            elif outcome.page is None or not outcome.page.has_more:
                break
            self._wait(outcome)
            outcome = self.step(handler)
        return outcome

    def __iter__(self) -> Iterator[Page]:
        """
        Poll until `stop()`, and give each page: `ack()` it before the next.

        Raises:
            PollingStopped: the server says that asking again is no use.
            NotAcknowledged: the page before has not been acknowledged.
        """
        while not self._stopping.is_set():
            outcome = self.step()
            if outcome.kind == "stop":
                raise PollingStopped(outcome)
            if outcome.page is not None:
                yield outcome.page
                if self._session.pending is not None:
                    raise NotAcknowledged
            self._wait(outcome)

    def stop(self) -> None:
        """End `run()`, an iteration or a wait; from any thread or signal handler."""
        self._stopping.set()

    def close(self) -> None:
        """Store how many 304s have come, and close the store, and the HTTP client unless it is the caller's."""
        stored = self.store.load(self._session.key)
        self._session.begin(stored)
        if stored is not None and stored != self._session.checkpoint:
            self._save()
        self.store.close()
        if self._is_own:
            self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _save(self) -> None:
        self.store.save(self._session.key, self._session.checkpoint)

    def _wait(self, outcome: Outcome) -> None:
        if outcome.wait > 0 and not self._stopping.is_set():
            self._sleep(outcome.wait)


def _client_of(url: str) -> Any:
    from django_pollable.client.transport import client_of

    return client_of(url)
