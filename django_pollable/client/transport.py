"""An HTTP transport of httpx2 whose requests end at a deadline, headers included."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore2
import httpx2

from django_pollable.client.fetching import DEADLINE

__all__ = ["DeadlineTransport"]

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


class DeadlineTransport(httpx2.BaseTransport):
    """
    HTTP/1.1 and TLS, where no byte is waited for after the deadline of the request.

    The timeouts of httpx2 bound each read, so that a server that sends a byte now and then holds a
    client for ever: here each read, write, connect and handshake gets what is left. Only the look-up
    of a name has its own time, the system's.
    """

    def __init__(self, *, verify: ssl.SSLContext | None = None, proxy: str | None = None) -> None:
        self._pool = httpcore2.ConnectionPool(
            ssl_context=verify or httpx2.create_ssl_context(),
            proxy=httpcore2.Proxy(proxy) if proxy else None,
            keepalive_expiry=60,
            network_backend=_Backend(),
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        deadline: float | None = request.extensions.get(DEADLINE)
        url = request.url
        sent = httpcore2.Request(
            request.method,
            httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _until(deadline):
            answer = self._pool.handle_request(sent)
        return httpx2.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer, deadline),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        self._pool.close()


def client_of(url: str) -> httpx2.Client:
    """Return a client for the feed at `url`, through the proxy that the environment names for it."""
    parts = urlsplit(url)
    proxy = None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)
    return httpx2.Client(transport=DeadlineTransport(proxy=proxy))


@contextmanager
def _until(deadline: float | None) -> Iterator[None]:
    """Bound every wait of the block, and raise the errors that users of httpx2 know."""
    token = _deadline.set(deadline)
    try:
        yield
    except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.ProxyError) as error:
        known: type[httpx2.TransportError] = getattr(httpx2, type(error).__name__)
        raise known(str(error)) from error
    finally:
        _deadline.reset(token)


def _left(timeout: float | None) -> float | None:
    deadline = _deadline.get()
    if deadline is None:
        return timeout
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore2.ReadTimeout("The request took too long in total.")
    return left if timeout is None else min(timeout, left)


class _Body(httpx2.SyncByteStream):
    def __init__(self, answer: httpcore2.Response, deadline: float | None) -> None:
        self._answer, self._deadline = answer, deadline

    def __iter__(self) -> Iterator[bytes]:
        parts = self._answer.iter_stream()
        while True:
            with _until(self._deadline):
                part = next(parts, None)
            if part is None:
                return
            yield part

    def close(self) -> None:
        self._answer.close()


class _Backend(httpcore2.NetworkBackend):
    def __init__(self) -> None:
        self._system = httpcore2.SyncBackend()

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, *args: Any, **kwargs: Any) -> _Stream:
        return _Stream(self._system.connect_tcp(host, port, _left(timeout), *args, **kwargs))


class _Stream(httpcore2.NetworkStream):
    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(timeout))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> _Stream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, _left(timeout)))

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
