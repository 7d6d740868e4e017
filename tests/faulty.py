"""A server on a real socket that answers as badly as it is told to."""

from __future__ import annotations

import json
import random
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, urlsplit

RESET = object()
"""Ends the connection with a TCP reset."""
CLOSE = object()

Part = bytes | float | object
"""Bytes to send, seconds to sleep, `RESET` or `CLOSE`."""


@dataclass(frozen=True)
class Request:
    path: str
    query: dict[str, str]
    headers: dict[str, str]


Responder = Callable[[Request], Iterable[Part]]


class FaultyServer(socketserver.ThreadingTCPServer):
    """Serves `respond` at `url` from threads; `requests` are those that have come."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, respond: Responder) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.respond = respond
        self.requests: list[Request] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> FaultyServer:
        threading.Thread(target=self.serve_forever, args=[0.02], daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that are killed reset their connections


class _Handler(socketserver.StreamRequestHandler):
    server: FaultyServer

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError):
            while (request := self._read()) is not None:
                self.server.requests.append(request)
                if not self._send(self.server.respond(request)):
                    return

    def _read(self) -> Request | None:
        line = self.rfile.readline().decode()
        if not line.strip():
            return None
        headers = {}
        while (field := self.rfile.readline().decode().strip()) != "":
            name, _, value = field.partition(":")
            headers[name.lower()] = value.strip()
        target = line.split()[1]
        return Request(target, dict(parse_qsl(urlsplit(target).query)), headers)

    def _send(self, parts: Iterable[Part]) -> bool:
        """Send the parts, and return whether the connection goes on."""
        for part in parts:
            if isinstance(part, bytes):
                self.request.sendall(part)
            elif isinstance(part, float):
                time.sleep(part)
            else:
                if part is RESET:
                    self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.rfile.close()
                    self.request.close()
                return False
        return True


def answer(status: int, body: object = b"", **headers: str) -> bytes:
    """Return an answer as it is sent; a dict is sent as JSON, `_` in a header's name as `-`."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    if status != 304:
        fields.setdefault("Content-Length", str(len(content)))
    lines = [f"HTTP/1.1 {status} Status", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + content


def page(next_since: str, *items: Any, removed: Iterable[str] = (), more: bool = False, reset: bool = False) -> Any:
    """Return the body of a page."""
    return {
        "items": list(items),
        "removed": list(removed),
        "next_since": next_since,
        "has_more": more,
        "reset": reset,
    }


def script(*answers: Iterable[Part]) -> Responder:
    """Return a responder that gives one answer after another, and the last one for ever."""
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def trickle(data: bytes, seconds: float = 0.05) -> Iterable[Part]:
    """Return `data` byte by byte."""
    for number in range(len(data)):
        yield data[number : number + 1]
        yield seconds


GOOD = answer(200, page("b", {"id": 1}), ETag='"b"')
HEAD, BODY = GOOD.split(b"\r\n\r\n")


FAULTS: dict[str, Callable[[], list[Part]]] = {
    "503": lambda: [answer(503, {"status": 503}, Retry_After="0")],
    "429 seconds": lambda: [answer(429, {"status": 429}, Retry_After="0")],
    "429 date": lambda: [
        answer(429, {"status": 429}, Retry_After=formatdate(usegmt=True), Date=formatdate(usegmt=True))
    ],
    "500": lambda: [answer(500, b"<h1>Server Error (500)</h1>")],
    "reset": lambda: [RESET],
    "reset in the body": lambda: [GOOD[:-20], 0.01, RESET],
    "truncated": lambda: [GOOD[:-20], CLOSE],
    "truncated without a length": lambda: [b"HTTP/1.1 200 OK\r\n\r\n" + BODY[:-20], CLOSE],
    "hang": lambda: [3.0, CLOSE],
    "hang in the body": lambda: [GOOD[:-20], 3.0, CLOSE],
    "trickling head": lambda: [*trickle(HEAD, 0.1), CLOSE],
    "trickling body": lambda: [HEAD + b"\r\n\r\n", *trickle(BODY, 0.1), CLOSE],
    "HTML 200": lambda: [answer(200, b"<html>Sign in</html>", Content_Type="text/html")],
    "stray 304": lambda: [answer(304, ETag='"stray"')],
}


class LogFeed:
    """A feed that grows by `rate` rows a second, in pages of `limit`, with faults in a `share` of the answers."""

    def __init__(self, *, rate: float, limit: int, share: float) -> None:
        self.rate, self.limit, self.share = rate, limit, share
        self._begin = time.monotonic()
        self._end: float | None = None

    @property
    def head(self) -> int:
        return int((self._end or time.monotonic()) * self.rate - self._begin * self.rate)

    def finish(self) -> None:
        """Stop growing, and stop failing."""
        self._end, self.share = time.monotonic(), 0

    def __call__(self, request: Request) -> Iterable[Part]:
        if request.path == "/finish":
            self.finish()
            return [answer(200, {"head": self.head})]
        head = self.head
        if random.random() < self.share:
            name = random.choice(list(FAULTS))
            if name != "stray 304" or "if-none-match" not in request.headers:
                return FAULTS[name]()
        since = int(request.query.get("since", "0"))
        etag = f'W/"{head}"'
        if request.headers.get("if-none-match") == etag and since == head:
            return [answer(304, ETag=etag)]
        last = min(since + self.limit, head)
        rows = [{"id": number} for number in range(since + 1, last + 1)]
        body = page(str(last), *rows, more=last < head, reset="since" not in request.query)
        return [answer(200, body, ETag=f'W/"{last}"')]
