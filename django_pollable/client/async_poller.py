"""`AsyncPoller`: follow a feed from an event loop (asyncio or trio)."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from inspect import isawaitable
from typing import Any, Self

import anyio

from django_pollable.client.answers import Page
from django_pollable.client.checkpoints import MemoryStore
from django_pollable.client.credentials import Token, authorization_async
from django_pollable.client.fetching import Limits, fetch_async, refuse_caches
from django_pollable.client.machine import Checkpoint, Outcome
from django_pollable.client.session import Event, NotAcknowledged, PollingStopped, Session, State
from django_pollable.client.waits import Pace

Handler = Callable[[Page], Awaitable[object]]


class AsyncPoller:
    """
    Does what `Poller` does, with the same arguments, names and errors.

    Differences: handlers are asynchronous; `client` is an `httpx2.AsyncClient`; `token`, the methods of
    `store`, and `sleep` may be. Do not poll with one object from several tasks.
    """

    def __init__(
        self,
        url: str,
        *,
        store: Any = None,
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
        self.store = store or MemoryStore()
        self._token, self._auth, self._headers = token, {"auth": auth} if auth else {}, headers or {}
        self._client, self._is_own = client or _new_client(), client is None
        self._limits = limits or Limits()
        self._stopping = anyio.Event()
        self._clock, self._draw, self._sleep = clock, draw, sleep or self._pause

    @property
    def state(self) -> State:
        """Return where the poller stands."""
        return self._session.state

    async def step(self, handler: Handler | None = None) -> Outcome:
        """Ask once, and give a page to `handler`; without one the page waits for `ack()`."""
        session = self._session
        request = session.begin(await self._load())
        headers = {**self._headers, **await authorization_async(self._token)}
        begin = time.monotonic()
        answer = await fetch_async(self._client, request, headers=headers, auth=self._auth, limits=self._limits)
        outcome = session.receive(answer, now=self._clock(), draw=self._draw(), seconds=time.monotonic() - begin)
        if outcome.page is not None and handler is not None:
            await handler(outcome.page)
            await self.ack()
        elif outcome.kind == "resync" or outcome.reason == "empty":
            await self._save()
        return outcome

    async def ack(self) -> None:
        """Store the place after the page that came last; once more does nothing."""
        if self._session.pending is not None:
            await _result(self.store.save(self._session.key, self._session.pending))
            self._session.acknowledge()

    async def run(self, handler: Handler) -> None:
        """Poll until `stop()`."""
        async for page in self:
            await handler(page)
            await self.ack()

    async def catch_up(self, handler: Handler) -> Outcome:
        """Poll until a page is the last, or something is wrong, and return how it ended."""
        outcome = await self.step(handler)
        has_resynced = False
        while not self._stopping.is_set():
            if outcome.kind == "resync" and not has_resynced:
                has_resynced = True
            elif outcome.page is None or not outcome.page.has_more:
                break
            await self._wait(outcome)
            outcome = await self.step(handler)
        return outcome

    async def __aiter__(self) -> AsyncIterator[Page]:
        """Poll until `stop()`, and give each page: `ack()` it before the next."""
        while not self._stopping.is_set():
            outcome = await self.step()
            if outcome.kind == "stop":
                raise PollingStopped(outcome)
            if outcome.page is not None:
                yield outcome.page
                if self._session.pending is not None:
                    raise NotAcknowledged
            await self._wait(outcome)

    def stop(self) -> None:
        """End `run()`, an iteration or a wait; from the event loop's thread."""
        self._stopping.set()

    async def aclose(self) -> None:
        """Store how many 304s have come, and close the store, and the HTTP client unless it is the caller's."""
        stored = await self._load()
        self._session.begin(stored)
        if stored is not None and stored != self._session.checkpoint:
            await self._save()
        await _result(self.store.close())
        if self._is_own:
            await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()

    async def _load(self) -> Checkpoint | None:
        stored: Checkpoint | None = await _result(self.store.load(self._session.key))
        return stored

    async def _save(self) -> None:
        await _result(self.store.save(self._session.key, self._session.checkpoint))

    async def _wait(self, outcome: Outcome) -> None:
        if outcome.wait > 0 and not self._stopping.is_set():
            await _result(self._sleep(outcome.wait))

    async def _pause(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await self._stopping.wait()


async def _result(value: Any) -> Any:
    return await value if isawaitable(value) else value


def _new_client() -> Any:
    import httpx2

    return httpx2.AsyncClient()
