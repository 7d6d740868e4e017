"""From a request to an answer or a fault, over any client that is used as httpx2's is."""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import anyio

from django_pollable.client.answers import Answer, Fault
from django_pollable.client.machine import Request

__all__ = ["CachingClient", "Limits"]

REDIRECTS = 5
DEADLINE = "deadline"
"""The request's extension with its deadline, as `time.monotonic()` counts."""
FAULTS = {
    "TimeoutException": "timeout",
    "ConnectError": "connect",
    "NetworkError": "network",
    "ProtocolError": "protocol",
}
"""The classes of httpx and httpx2 by name: a caller's client can be either's."""


class CachingClient(TypeError):
    """The HTTP client has a cache of its own, which hides 304s and sends validators of its own."""

    def __init__(self) -> None:
        super().__init__("A poller keeps its own validators: give it an HTTP client without a cache.")


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What a request may take.

    Attributes:
        connect, read: until a connection stands, and between two reads (seconds).
        total: for the whole request, redirects included (seconds).
        max_body: of an answer, decompressed (bytes).
    """

    connect: float = 2.0
    read: float = 5.0
    total: float = 15.0
    max_body: int = 32 << 20


class Refusal(Exception):
    """What arrives is not taken in."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.fault = Fault(reason, detail)


def fetch(client: Any, request: Request, *, headers: Mapping[str, str], auth: Any, limits: Limits) -> Answer | Fault:
    """
    Return the answer to `request`; `client` is an `httpx2.Client`.

    A client whose transport is no `DeadlineTransport` can be held up by headers that trickle.

    Raises:
        CachingClient: a cache answered.
    """
    deadline = time.monotonic() + limits.total
    with _faults() as fault:
        sent = _build(client, request, headers, limits, {DEADLINE: deadline})
        for _ in range(REDIRECTS):
            response = client.send(sent, stream=True, follow_redirects=False, **auth)
            try:
                _check(response)
                if response.next_request is None:
                    body = Body(response, limits.max_body)
                    for part in body.parts():
                        body.add(part)
                        if time.monotonic() > deadline:
                            raise Refusal("timeout", "The body took too long in total.")
                    return body.answer()
                sent = _redirected(sent, response)
            finally:
                response.close()
        raise Refusal("redirect", "The redirects do not end.")
    return fault[0]


async def fetch_async(
    client: Any, request: Request, *, headers: Mapping[str, str], auth: Any, limits: Limits
) -> Answer | Fault:
    """Return the same; `client` is an `httpx2.AsyncClient`. The total time holds whatever its transport."""
    with _faults() as fault, anyio.fail_after(limits.total):
        sent = _build(client, request, headers, limits, {})
        for _ in range(REDIRECTS):
            response = await client.send(sent, stream=True, follow_redirects=False, **auth)
            try:
                _check(response)
                if response.next_request is None:
                    body = Body(response, limits.max_body)
                    async for part in body.parts_async():
                        body.add(part)
                    return body.answer()
                sent = _redirected(sent, response)
            finally:
                await response.aclose()
        raise Refusal("redirect", "The redirects do not end.")
    return fault[0]


def refuse_caches(client: Any) -> None:
    """
    Look through the client's transports for a cache, as far as they can be seen.

    Raises:
        CachingClient: there is one.
    """
    seen: list[Any] = [client]
    mounts = getattr(client, "_mounts", None) or {}
    for part in (client, *mounts.values()):
        while part is not None and part not in seen[1:]:
            seen.append(part)
            part = getattr(part, "_transport", None) or getattr(part, "next_transport", None)
    names = {f"{kind.__module__}.{kind.__name__}".lower() for part in seen for kind in type(part).__mro__}
    if any("hishel" in name or "cache" in name for name in names):
        raise CachingClient


class Body:
    """The body of a response as it comes in: decompressed here, so that no more than the limit ever is."""

    def __init__(self, response: Any, limit: int) -> None:
        self._response, self._limit = response, limit
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", ""):
            raise Refusal("protocol", f"The encoding {encoding[:20]} was not asked for.")
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16) if encoding == "gzip" else None
        self._content = bytearray()

    def parts(self) -> Iterator[bytes]:
        """Return the parts as they were sent; of a response without a stream (a test's) the whole, decompressed."""
        return iter([self._whole()]) if self._response.is_stream_consumed else self._response.iter_raw()

    async def parts_async(self) -> Any:
        """Return the same, asynchronously."""
        if self._response.is_stream_consumed:
            yield self._whole()
            return
        async for part in self._response.aiter_raw():
            yield part

    def add(self, part: bytes) -> None:
        """
        Take in the next part.

        Raises:
            Refusal: the body is too large, or badly compressed.
        """
        room = self._limit - len(self._content) + 1
        try:
            self._content += self._inflater.decompress(part, room) if self._inflater else part
        except zlib.error as error:
            raise Refusal("protocol", f"The body is badly compressed: {error}.") from None
        if len(self._content) > self._limit:
            raise Refusal("too-large", f"The body has more than {self._limit} bytes.")

    def answer(self) -> Answer:
        """
        Return the answer, complete.

        Raises:
            Refusal: the compressed body is cut off.
        """
        if self._inflater and self._content and not self._inflater.eof:
            raise Refusal("protocol", "The body is cut off.")
        headers = {name.lower(): value for name, value in self._response.headers.items()}
        return Answer(self._response.status_code, headers, bytes(self._content))

    def _whole(self) -> bytes:
        self._inflater = None
        content: bytes = self._response.content
        return content


def _build(client: Any, request: Request, headers: Mapping[str, str], limits: Limits, extensions: Any) -> Any:
    fields = {"Accept": "application/json", "Accept-Encoding": "gzip", **headers}
    if request.etag is not None:
        fields["If-None-Match"] = request.etag
    waits = (limits.connect, limits.read, limits.read, limits.connect)  # connect, read, write, pool
    return client.build_request("GET", request.url, headers=fields, timeout=waits, extensions=extensions)


def _check(response: Any) -> None:
    if any("cache" in name or "hishel" in name for name in response.extensions):
        raise CachingClient


def _redirected(sent: Any, response: Any) -> Any:
    """
    Return the request that a redirect asks for.

    Raises:
        Refusal: it leads to another origin, which must not learn the credentials.
    """
    following, here = response.next_request, sent.url
    there = following.url
    is_upgrade = (here.scheme, there.scheme, here.port, there.port) == ("http", "https", None, None)
    if here.host != there.host or not (is_upgrade or (here.scheme, here.port) == (there.scheme, there.port)):
        raise Refusal("redirect", f"The answer leads to another origin, {there.scheme}://{there.host}.")
    return following


@contextmanager
def _faults() -> Iterator[list[Fault]]:
    """Give a list that gets the fault of the block, if there is one."""
    found: list[Fault] = []
    try:
        yield found
    except Refusal as refusal:
        found.append(refusal.fault)
    except TimeoutError:
        found.append(Fault("timeout", "The request took too long in total."))
    except _transport_errors() as error:
        names = (kind.__name__ for kind in type(error).__mro__)
        reason = next((FAULTS[name] for name in names if name in FAULTS), "network")
        found.append(Fault(reason, str(error) or type(error).__name__))


def _transport_errors() -> tuple[type[Exception], ...]:
    return tuple(sys.modules[name].HTTPError for name in ("httpx2", "httpx") if name in sys.modules)
