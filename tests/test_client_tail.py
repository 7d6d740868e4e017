"""Following a log that really grows, is rotated and is cut, over sockets; and servers that are no help."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from django_pollable.client.fetching import CachingClient, Limits
from django_pollable.client.tail import tail, tail_async
from django_pollable.client.tailing import Piece, Place, TailOutcome, TailStopped
from django_pollable.client.waits import Pace
from tests.faulty import CLOSE, FaultyServer, Part, Request, answer, script
from tests.services import RangeServer

FAST = Pace(interval=0.001, backoff_cap=0.001)
TEXT = "".join(f"{number} \u00e9\u20ac\U0001f600 built\n" for number in range(50))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RangeServer]:
    running = RangeServer(tmp_path_factory.mktemp("logs"))
    yield running
    running.stop()


@pytest.fixture
def log(server: RangeServer, request: pytest.FixtureRequest) -> Iterator[Path]:
    file = server.folder / f"{random.random()}.log"
    yield file
    file.unlink(missing_ok=True)


def follow(url: str, until: Callable[[str], bool], **options: Any) -> tuple[str, list[Piece]]:
    """Return what is shown of the log in the end, and the pieces that it came in."""
    shown, pieces = "", []
    with closing(tail(url, **{"pace": FAST} | options)) as log:  # type: ignore[type-var]
        for piece in log:
            pieces.append(piece)
            shown = piece.text if piece.is_restart else shown + piece.text
            if until(shown):
                break
    return shown, pieces


def follow_async(url: str, until: Callable[[str], bool], **options: Any) -> tuple[str, list[Piece]]:
    async def act() -> tuple[str, list[Piece]]:
        shown, pieces = "", []
        log: Any = tail_async(url, **{"pace": FAST} | options)
        async with aclosing(log):
            async for piece in log:
                pieces.append(piece)
                shown = piece.text if piece.is_restart else shown + piece.text
                if until(shown):
                    break
        return shown, pieces

    return asyncio.run(act())


both = pytest.mark.parametrize("follow", [follow, follow_async], ids=["sync", "async"])


@both
def test_no_character_is_cut_however_a_log_is_written(server: RangeServer, log: Path, follow: Any) -> None:
    left, draw = bytearray(TEXT.encode()), random.Random(0)

    def write(_: TailOutcome) -> None:
        length = draw.randrange(1, 100)
        with log.open("ab", buffering=0) as end:
            end.write(left[:length])
        del left[:length]

    shown, pieces = follow(f"{server.url}/logs/{log.name}", lambda shown: len(shown) >= len(TEXT), on_outcome=write)

    assert shown == TEXT
    assert len(pieces) > 5


@pytest.mark.parametrize("rotate", [Path.write_bytes, lambda log, new: (log.unlink(), log.write_bytes(new))])
def test_a_rotated_log_begins_anew(server: RangeServer, log: Path, rotate: Any) -> None:
    log.write_text("old\n" * 100)
    followed = tail(f"{server.url}/logs/{log.name}", pace=FAST)
    next(followed)
    rotate(log, b"new\n" * 200)

    piece = next(followed)
    while piece.is_restart and not piece.text:
        piece = next(followed)  # it was seen while it was empty

    assert piece.text == "new\n" * 200
    followed.close()  # type: ignore[attr-defined]


def test_a_log_that_was_cut_begins_anew(server: RangeServer, log: Path) -> None:
    log.write_text("one\ntwo\n")
    followed = tail(f"{server.url}/logs/{log.name}", pace=FAST)
    next(followed)

    os.truncate(log, 4)

    assert next(followed) == Piece("one\n", next_place(server, log), is_restart=True)


def next_place(server: RangeServer, log: Path) -> Place:
    etag = server.connect(f"/logs/{log.name}").headers["ETag"]
    return Place(log.stat().st_size, etag, True)


def test_the_last_lines_and_a_place_to_go_on(server: RangeServer, log: Path) -> None:
    url = f"{server.url}/logs/{log.name}"
    log.write_text(TEXT)
    shown, pieces = follow(url, bool, last=20)
    assert TEXT.endswith(shown)
    assert 17 <= len(shown.encode()) <= 20

    with log.open("a") as end:
        end.write("more\n")

    shown, _ = follow(url, bool, place=pieces[-1].place)
    assert shown == "more\n"


def test_a_large_log_comes_in_parts_that_a_client_can_take(server: RangeServer, log: Path) -> None:
    log.write_text("x" * 100_000)

    shown, pieces = follow(
        f"{server.url}/logs/{log.name}", lambda shown: len(shown) == 100_000, limits=Limits(max_body=4096)
    )

    assert shown == "x" * 100_000
    assert max(len(piece.text) for piece in pieces) == 4096


def test_an_unchanged_log_costs_a_304_each_time(server: RangeServer, log: Path) -> None:
    log.write_text("one\n")
    outcomes: list[TailOutcome] = []
    stop = threading.Event()

    def see(outcome: TailOutcome) -> None:
        outcomes.append(outcome)
        stop.set() if len(outcomes) == 3 else None

    pieces = list(tail(f"{server.url}/logs/{log.name}", pace=FAST, on_outcome=see, stopping=stop))

    assert [piece.text for piece in pieces] == ["one\n"]
    assert [outcome.reason for outcome in outcomes] == ["end", "not-modified", "not-modified"]
    assert all(outcome.wait >= 0.05 for outcome in outcomes)  # the server's own interval


@both
def test_a_server_that_refuses_for_good_ends_it(follow: Any) -> None:
    with FaultyServer(script([answer(403, {"detail": "Not yours."})])) as server, pytest.raises(TailStopped) as error:
        follow(server.url, bool)

    assert str(error.value) == "The log cannot be followed: status-403. Not yours."


@both
def test_a_failure_loses_nothing_and_the_client_says_who_it_is(follow: Any, caplog: Any) -> None:
    asked: list[Request] = []
    good: list[Part] = [answer(206, b"one\n", Content_Range="bytes 0-3/4")]
    replies = script([answer(503)], [CLOSE], good)

    def respond(request: Request) -> Any:
        asked.append(request)
        return replies(request)

    with FaultyServer(respond) as server:
        shown, _ = follow(server.url, bool, token="secret", headers={"X-Me": "1"}, auth=None)

    assert shown == "one\n"
    sent = asked[0].headers
    assert (sent["authorization"], sent["x-me"], sent["accept-encoding"]) == ("Token secret", "1", "identity")
    assert [record.levelname for record in caplog.records if record.name.startswith("django_pollable")][:2] == [
        "WARNING",
        "WARNING",
    ]


def test_a_client_of_the_callers_own_stays_open_and_has_no_cache() -> None:
    good = script([answer(206, b"one\n", Content_Range="bytes 0-3/4")])
    with FaultyServer(good) as server, httpx2.Client() as client:
        follow(server.url, bool, client=client, auth=("me", "secret"))
        assert not client.is_closed

    with pytest.raises(CachingClient):
        tail("http://example.org/", client=type("CachedClient", (), {})())


def test_an_asynchronous_client_of_the_callers_own_stays_open() -> None:
    async def act() -> bool:
        async with httpx2.AsyncClient() as client:
            log: AsyncIterator[Piece] = tail_async(server.url, client=client, pace=FAST)
            assert (await anext(log)).text == "one\n"
            await log.aclose()  # type: ignore[attr-defined]
            return client.is_closed

    with FaultyServer(script([answer(206, b"one\n", Content_Range="bytes 0-3/4")])) as server:
        assert asyncio.run(act()) is False


def test_arguments_that_make_no_sense_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="begins with http"):
        tail("ftp://example.org/")
