"""What clients are told while a server is down, and what they are promised."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

from tests.chaos.client import Answer, Client

UP_SECONDS, DOWN_SECONDS, PATIENCE_SECONDS = 1.5, 2.5, 60
LEAST_ANSWERS = 200


class Poller(Client):
    """Asks again and again, whatever it is told, under a new name every 20 requests."""

    def poll(self) -> bool:
        asked = sum(self.answers.values())
        self.name = f"{self.ident}-{asked // 20}"
        self._etag = self._etag if asked % 5 else None
        answer = self._get(f"{self.path}?limit=5")
        self._etag = answer.headers["ETag"] or self._etag
        return False


class Server(Protocol):
    """What can be stopped and started again."""

    def stop(self) -> None: ...

    def start(self) -> None: ...


def through_an_outage(server: Server, clients: Sequence[Client]) -> list[Counter[object]]:
    """Return what the clients are told before the server dies, meanwhile, and when it is back."""
    for client in clients:
        client.start()
    told = []
    for action, seconds in ((None, UP_SECONDS), (server.stop, DOWN_SECONDS), (server.start, UP_SECONDS)):
        if action:
            action()
        before = answers_of(clients)
        end = time.monotonic() + seconds
        while time.monotonic() < end or (answers_of(clients) - before).total() < LEAST_ANSWERS:
            time.sleep(0.1)
            assert time.monotonic() < end + PATIENCE_SECONDS, "The server answers hardly anything."
        told.append(answers_of(clients) - before)
    print(*map(dict, told), sep=" | ")
    return told


def unpromised(clients: Iterable[Client]) -> list[str]:
    """Return what clients were told that a crowd of them cannot live with; expired cursors are a thing of their own."""
    refusals = [answer for client in clients for answer in client.refusals if answer.status != 410]
    return [
        f"{answer.status} {dict(answer.headers)} {answer.body[:500]!r}"
        for answer in refusals
        if not _is_as_promised(answer)
    ]


def _is_as_promised(answer: Answer) -> bool:
    retry_after = answer.headers["Retry-After"] or ""
    return (
        retry_after.isdecimal()
        and int(retry_after) >= 1
        and answer.headers["Content-Type"] == "application/problem+json"
        and answer.headers["Cache-Control"] == "no-store"
        and json.loads(answer.body)["status"] == answer.status
    )


def answers_of(clients: Sequence[Client]) -> Counter[object]:
    return sum((client.answers for client in clients), Counter[object]())
