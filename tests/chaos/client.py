"""Clients that keep a copy of a feed, the right way and the naive one."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from email.message import Message
from typing import Any, NamedTuple
from urllib.parse import urlencode

QUIET_SECONDS = 4


class Answer(NamedTuple):
    """What a server has said; status 0: nothing."""

    status: int
    headers: Message
    body: bytes


class Client(threading.Thread):
    """Follows the protocol: cursor, tag, mark and sweep after a reset, first sync after 410."""

    def __init__(self, name: str, ports: list[int], path: str, query: dict[str, Any], delay: float) -> None:
        super().__init__(name=name, daemon=True)
        self.ports, self.path, self.query, self.delay = ports, path, query, delay
        self.rows: dict[str, Any] = {}
        self.answers: Counter[object] = Counter()
        self.refusals: list[Answer] = []
        self.is_over = False
        self._cursor: str | None = None
        self._etag: str | None = None
        self._marked: set[str] | None = None

    def run(self) -> None:
        while not self.is_over:
            if not self.poll():
                time.sleep(self.delay * random.random() * 2)

    def catch_up(self) -> None:
        """Poll until nothing new has come for a while: a first sync in small pages takes its time."""
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < QUIET_SECONDS:
            before = self._cursor
            if self.poll() or self._cursor != before:
                quiet_since = time.monotonic()
            else:
                time.sleep(0.2)

    def poll(self) -> bool:
        """Ask once, and return whether to ask again at once; that is after a wait where the server says so."""
        query = self.query | ({"since": self._cursor} if self._cursor else {})
        answer = self._get(f"{self.path}?{urlencode(query)}")
        if answer.status == 410:
            self._cursor = self._etag = None
        if answer.status in (429, 503):
            time.sleep(int(answer.headers["Retry-After"]))
        if answer.status != 200:
            return answer.status in (410, 429, 503)
        page = json.loads(answer.body)
        self._apply(page)
        self._cursor, self._etag = page["next_since"], answer.headers["ETag"]
        return bool(page["has_more"])

    def _apply(self, page: dict[str, Any]) -> None:
        if page["reset"]:
            self._marked = set()
        for item in page["items"]:
            self.rows[str(item["id"])] = item
            if self._marked is not None:
                self._marked.add(str(item["id"]))
        for key in page["removed"]:
            self.rows.pop(key, None)
        if self._marked is not None and not page["has_more"]:
            self.rows = {key: row for key, row in self.rows.items() if key in self._marked}
            self._marked = None

    def _get(self, url: str) -> Answer:
        answer = self._ask(url)
        self.answers[answer.status] += 1
        if answer.status not in (200, 304):
            self.refusals.append(answer)
        return answer

    def _ask(self, url: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", random.choice(self.ports), timeout=20)
        try:
            headers = {"X-Client": self.name} | ({"If-None-Match": self._etag} if self._etag else {})
            connection.request("GET", url, headers=headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        except OSError:
            return Answer(0, Message(), b"")
        finally:
            connection.close()


class NaiveClient(Client):
    """Asks for what has a higher id than the highest it has seen, as many an own solution does."""

    def naive_query(self) -> dict[str, Any]:
        return {"after": max((int(key) for key in self.rows), default=0)}

    def poll(self) -> bool:
        answer = self._get(f"{self.path}?{urlencode(self.naive_query())}")
        if answer.status == 200:
            self.rows |= {str(item["id"]): item for item in json.loads(answer.body)}
        return False


class DatedClient(NaiveClient):
    """Asks for what was updated at or after the newest `updated_at` that it has seen."""

    def naive_query(self) -> dict[str, Any]:
        return {"updated_since": max((row["updated_at"] for row in self.rows.values()), default="2000-01-01T00:00Z")}


def end(clients: Iterable[Client]) -> None:
    """Stop clients that run."""
    for client in clients:
        client.is_over = True
        client.join()


def catch_up(clients: Sequence[Client]) -> None:
    """Stop clients that run, and let them poll until nothing new comes."""
    end(clients)
    threads = [threading.Thread(target=client.catch_up) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
