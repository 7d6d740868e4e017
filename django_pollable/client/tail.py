"""`tail()` and `tail_async()`: the text of a log as it grows."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import anyio

from django_pollable.client.answers import Answer, Fault
from django_pollable.client.credentials import Token, authorization, authorization_async
from django_pollable.client.fetching import Limits, fetch, fetch_async, refuse_caches
from django_pollable.client.machine import Feed, Request
from django_pollable.client.session import logger
from django_pollable.client.tailing import CHUNK, Piece, Place, TailMachine, TailOutcome, TailStopped
from django_pollable.client.waits import Pace

OWN = {"Accept": "*/*", "Accept-Encoding": "identity"}
"""Ranges are of the bytes as they are."""


def tail(
    url: str,
    *,
    place: Place | None = None,
    last: int | None = None,
    token: Token = None,
    auth: Any = None,
    headers: Mapping[str, str] | None = None,
    client: Any = None,
    pace: Pace | None = None,
    limits: Limits | None = None,
    on_outcome: Callable[[TailOutcome], object] | None = None,
    stopping: threading.Event | None = None,
    clock: Callable[[], float] = time.time,
    draw: Callable[[], float] = random.random,
) -> Iterator[Piece]:
    """
    Yield what the log at `url` has, and what it gets, until `stopping` is set; no character is ever cut.

    Args:
        place: go on here; the one of the last piece that has been handled.
        last: begin so many bytes before the end.
        on_outcome: is called after each request.
        token, auth, headers, client, pace, limits, clock, draw: as `Poller` has them.

    Raises:
        ValueError: `url` is no URL of http or https.
        CachingClient: `client` has a cache.
        TailStopped: the server says that asking again is no use.
    """
    tailing = _Tailing(url, place, last, client, pace, limits, on_outcome)
    stop = stopping or threading.Event()

    def follow() -> Iterator[Piece]:
        transport = client or _client_of(url)
        try:
            while not stop.is_set():
                fields = {**(headers or {}), **authorization(token), **tailing.headers}
                answer = fetch(transport, tailing.request, headers=fields, auth=_auth(auth), limits=tailing.limits)
                outcome = tailing.receive(answer, now=clock(), draw=draw())
                if outcome.piece is not None:
                    yield outcome.piece
                stop.wait(outcome.wait)
        finally:
            if client is None:
                transport.close()

    return follow()


def tail_async(
    url: str,
    *,
    place: Place | None = None,
    last: int | None = None,
    token: Token = None,
    auth: Any = None,
    headers: Mapping[str, str] | None = None,
    client: Any = None,
    pace: Pace | None = None,
    limits: Limits | None = None,
    on_outcome: Callable[[TailOutcome], object] | None = None,
    clock: Callable[[], float] = time.time,
    draw: Callable[[], float] = random.random,
) -> AsyncIterator[Piece]:
    """
    Do what `tail` does, in an event loop (asyncio or trio), until the task is cancelled.

    `client` is an `httpx2.AsyncClient`, and `token` may be asynchronous.
    """
    tailing = _Tailing(url, place, last, client, pace, limits, on_outcome)

    async def follow() -> AsyncIterator[Piece]:
        transport = client or _async_client()
        try:
            while True:
                fields = {**(headers or {}), **await authorization_async(token), **tailing.headers}
                answer = await fetch_async(
                    transport, tailing.request, headers=fields, auth=_auth(auth), limits=tailing.limits
                )
                outcome = tailing.receive(answer, now=clock(), draw=draw())
                if outcome.piece is not None:
                    yield outcome.piece
                await anyio.sleep(outcome.wait)
        finally:
            if client is None:
                await transport.aclose()

    return follow()


class _Tailing:
    """A machine, and who is told what it decides."""

    def __init__(
        self,
        url: str,
        place: Place | None,
        last: int | None,
        client: Any,
        pace: Pace | None,
        limits: Limits | None,
        on_outcome: Callable[[TailOutcome], object] | None,
    ) -> None:
        refuse_caches(client)
        self.limits = limits or Limits()
        chunk = min(CHUNK, self.limits.max_body)
        self._machine = TailMachine(url, pace or Pace(), place or Place(), last, chunk)
        self._on_outcome = on_outcome
        self.request = Request(url, None)
        self._name = Feed.of(url).name

    @property
    def headers(self) -> dict[str, str]:
        return {**OWN, **self._machine.headers}

    def receive(self, answer: Answer | Fault, *, now: float, draw: float) -> TailOutcome:
        """
        Return what `answer` means, and move on.

        Raises:
            TailStopped: asking again is no use.
        """
        outcome = self._machine.receive(answer, now=now, draw=draw)
        self._machine = outcome.next
        level = logging.WARNING if outcome.kind in ("backoff", "restart", "stop") else logging.DEBUG
        status = answer.status if isinstance(answer, Answer) else 0
        facts = {
            "pollable_event": f"tail-{outcome.kind}",
            "pollable_reason": outcome.reason,
            "pollable_status": status,
        }
        logger.log(level, "%s: %s, %s %s", self._name, outcome.kind, outcome.reason, outcome.detail, extra=facts)
        if self._on_outcome is not None:
            self._on_outcome(outcome)
        if outcome.kind == "stop":
            raise TailStopped(outcome)
        return outcome


def _auth(auth: Any) -> dict[str, Any]:
    return {"auth": auth} if auth else {}


def _client_of(url: str) -> Any:
    from django_pollable.client.transport import client_of

    return client_of(url)


def _async_client() -> Any:
    import httpx2

    return httpx2.AsyncClient()
