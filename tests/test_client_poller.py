"""The pollers, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
import logging
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from django_pollable.client.answers import Page
from django_pollable.client.async_poller import AsyncPoller
from django_pollable.client.checkpoints import MemoryStore
from django_pollable.client.fetching import Body, CachingClient, Limits, Refusal
from django_pollable.client.machine import Checkpoint, Outcome
from django_pollable.client.poller import Poller
from django_pollable.client.session import Event, NotAcknowledged, PollingStopped, Session
from django_pollable.client.transport import DeadlineTransport
from django_pollable.client.waits import Pace
from tests.faulty import BODY, CLOSE, FAULTS, GOOD, HEAD, FaultyServer, Part, Responder, answer, page, script, trickle

LIMITS = Limits(connect=1.0, read=0.3, total=0.5)
IN_TIME = 3.0
"""What the total may become on a busy machine (seconds); what trickles takes five and more."""
FIRST = answer(200, page("a", {"id": 1}, reset=True), ETag='"a"')


@pytest.fixture
def serve() -> Iterator[Callable[[Responder], FaultyServer]]:
    servers: list[FaultyServer] = []

    def start(respond: Responder) -> FaultyServer:
        servers.append(FaultyServer(respond).__enter__())
        return servers[-1]

    yield start
    for server in servers:
        server.__exit__()


def step_async(url: str, **options: Any) -> Outcome:
    """Return what the asynchronous poller makes of one answer."""

    async def act() -> Outcome:
        async with AsyncPoller(url, **options) as poller:
            return await poller.step()

    return asyncio.run(act())


def step_sync(url: str, **options: Any) -> Outcome:
    with Poller(url, **options) as poller:
        return poller.step()


both = pytest.mark.parametrize("step", [step_sync, step_async], ids=["sync", "async"])
Step = Callable[..., Outcome]


@both
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("503", "status-503"),
        ("429 seconds", "status-429"),
        ("429 date", "status-429"),
        ("500", "status-500"),
        ("reset", "network"),
        ("reset in the body", "network"),
        ("truncated", "protocol"),
        ("truncated without a length", "invalid-page"),
        ("hang", "timeout"),
        ("hang in the body", "timeout"),
        ("trickling head", "timeout"),
        ("trickling body", "timeout"),
        ("HTML 200", "invalid-page"),
        ("stray 304", "unasked-304"),
    ],
)
def test_a_fault_is_told_in_time_and_moves_nothing(serve: Any, step: Step, fault: str, reason: str) -> None:
    """P33: a limit for the whole request, trickles included; a failure keeps the last good state."""
    store = MemoryStore()
    server = serve(script(FAULTS[fault]()))
    begin = time.monotonic()

    outcome = step(server.url, store=store, limits=LIMITS)

    assert (outcome.kind, outcome.reason) == ("backoff", reason)
    assert time.monotonic() - begin < IN_TIME
    assert outcome.next.checkpoint == Checkpoint()


def test_every_fault_of_the_server_is_tried() -> None:
    marks = test_a_fault_is_told_in_time_and_moves_nothing.pytestmark  # type: ignore[attr-defined]

    assert {case[0] for case in marks[0].args[1]} == set(FAULTS)


@both
def test_nobody_listens(step: Step) -> None:
    outcome = step("http://127.0.0.1:9/", limits=LIMITS)

    assert (outcome.kind, outcome.reason) == ("backoff", "connect")


@pytest.mark.parametrize("kind", ["head", "body"])
def test_a_deadline_holds_on_a_connection_that_is_used_again(serve: Any, kind: str) -> None:
    slow: list[Part] = list(trickle(HEAD, 0.1)) if kind == "head" else [HEAD + b"\r\n\r\n", *trickle(BODY, 0.1)]
    server = serve(script([GOOD], [GOOD.replace(b'"b"', b'"c"')], slow))
    with Poller(server.url, limits=LIMITS) as poller:
        poller.step(len_of)
        poller.step(len_of)
        begin = time.monotonic()
        outcome = poller.step()

    assert outcome.reason == "timeout"
    assert 0.4 < time.monotonic() - begin < IN_TIME


def test_a_deadline_that_is_over_ends_a_request_before_it_begins(serve: Any) -> None:
    assert step_sync(serve(script([GOOD])).url, limits=Limits(total=0)).reason == "timeout"


def test_a_deadline_holds_in_a_handshake(serve: Any) -> None:
    server = serve(script([3.0]))

    outcome = step_sync(server.url.replace("http:", "https:"), limits=replace(LIMITS, connect=5, read=5))

    assert outcome.reason == "connect"


def len_of(page: Page) -> int:
    return len(page.items)


def test_the_tag_is_sent_with_its_cursor_and_a_304_is_idle(serve: Any) -> None:
    server = serve(script([FIRST], [answer(304)]))
    with Poller(f"{server.url}/items/?status=open", pace=Pace(interval=10), draw=lambda: 0.5) as poller:
        poller.step(len_of)
        outcome = poller.step()

    assert (outcome.kind, outcome.wait) == ("idle", 10)
    assert [request.path for request in server.requests] == ["/items/?status=open", "/items/?since=a&status=open"]
    assert "if-none-match" not in server.requests[0].headers
    assert server.requests[1].headers["if-none-match"] == '"a"'
    assert poller.state.not_modified == 1


def test_a_page_whose_handler_fails_comes_again(serve: Any) -> None:
    server = serve(script([FIRST]))
    seen: list[Page] = []

    def fail_once(page: Page) -> None:
        seen.append(page)
        if len(seen) == 1:
            raise LookupError

    with Poller(server.url) as poller:
        with pytest.raises(LookupError):
            poller.step(fail_once)
        assert poller.state.checkpoint == Checkpoint()
        poller.step(fail_once)

    assert seen[0] == seen[1]
    assert poller.state.checkpoint.cursor == "a"


def test_a_checkpoint_that_was_rolled_back_is_asked_for_again(serve: Any) -> None:
    """The store knows better than the poller: `ack()` can be part of a transaction that fails."""
    server = serve(script([FIRST], [FIRST], [answer(304)]))
    store = MemoryStore()
    poller = Poller(server.url, store=store)
    poller.step(len_of)
    store.__init__()  # type: ignore[misc]

    poller.step(len_of)

    assert [request.query for request in server.requests] == [{}, {}]


def test_pages_are_iterated_over_with_an_acknowledgement(serve: Any) -> None:
    server = serve(script([answer(200, page("a", 1, more=True, reset=True))], [answer(200, page("b", 2), ETag='"b"')]))
    poller = Poller(server.url)
    seen = []

    for delivered in poller:
        seen.append((delivered.items, delivered.is_reset, delivered.ends_reset))
        poller.ack()
        poller.ack()
        if delivered.ends_reset:
            poller.stop()

    assert seen == [([1], True, False), ([2], False, True)]
    assert poller.state.checkpoint == Checkpoint("b", '"b"')


def test_an_iteration_without_an_acknowledgement_says_so(serve: Any) -> None:
    poller = Poller(serve(script([FIRST])).url)

    with pytest.raises(NotAcknowledged):
        list(poller)
    assert poller.state.checkpoint == Checkpoint()


def test_leaving_the_loop_acknowledges_nothing(serve: Any) -> None:
    server = serve(script([FIRST]))
    poller = Poller(server.url)
    for _ in poller:
        break

    assert next(iter(poller)).items == [{"id": 1}]
    assert [request.query for request in server.requests] == [{}, {}]


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_stops_the_poller_and_says_why(serve: Any, status: int) -> None:
    poller = Poller(serve(script([answer(status, {"detail": "Not yours."})])).url)

    with pytest.raises(PollingStopped, match=rf"status-{status}. Not yours"):
        poller.run(len_of)
    assert poller.state.is_stopped
    with pytest.raises(PollingStopped):
        asyncio.run(AsyncPoller(serve(script([answer(status)])).url).run(ignore))


async def ignore(page: Page) -> None:
    pass


async def catch_up(url: str) -> Outcome:
    async with AsyncPoller(url, sleep=lambda _: None) as poller:
        outcome = await poller.catch_up(ignore)
        poller.stop()
        await poller.catch_up(ignore)
        await poller.run(ignore)
        return outcome


def test_without_a_page_nothing_is_acknowledged() -> None:
    session = Session("http://feed/", Pace(), "", None)

    session.acknowledge()

    assert session.checkpoint == Checkpoint()


def test_a_410_begins_a_first_sync_after_a_wait(serve: Any) -> None:
    """P34: the cursor is dropped; a first sync follows the wait."""
    gone = answer(410, {"reason": "epoch-changed"})
    server = serve(script([FIRST], [gone], [answer(200, page("b", 2, reset=True))]))
    waits: list[float] = []
    poller = Poller(server.url, pace=Pace(interval=10), draw=lambda: 0.5, sleep=waits.append)
    poller.step(len_of)

    outcome = poller.catch_up(len_of)

    assert (outcome.kind, waits) == ("page", [5])
    assert [request.query.get("since") for request in server.requests] == [None, "a", None]


def test_a_410_for_ever_is_no_loop(serve: Any) -> None:
    server = serve(script([answer(410)]))
    waits: list[float] = []
    poller = Poller(server.url, pace=Pace(interval=1), draw=lambda: 0.5)

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 5:
            poller.stop()

    poller._sleep = sleep
    poller.run(len_of)

    assert waits == [0.5, 1, 2, 4, 8]
    assert asyncio.run(catch_up(server.url)).kind == "resync"
    assert poller.catch_up(len_of).kind == "resync"


def test_stop_ends_a_wait_from_another_thread(serve: Any) -> None:
    poller = Poller(serve(script([FIRST], [answer(304)])).url, pace=Pace(interval=60))
    thread = threading.Thread(target=poller.run, args=[len_of])
    thread.start()
    time.sleep(0.3)

    poller.stop()
    thread.join(2)

    assert not thread.is_alive()


def test_the_state_and_the_events_tell_what_happens(serve: Any, caplog: Any) -> None:
    server = serve(
        script(
            [answer(200, page("a", 1, 2, removed=["9"], more=True, reset=True))], [answer(503)], [GOOD], [answer(304)]
        )
    )
    events: list[Event] = []
    caplog.set_level(logging.DEBUG, "django_pollable.client")
    poller = Poller(server.url, on_event=events.append, clock=lambda: 1000, draw=lambda: 0.5, pace=Pace(interval=10))

    poller.step(len_of)
    assert (poller.state.is_syncing, poller.state.rows) == (True, 2)
    poller.step(len_of)
    assert (poller.state.failures, poller.state.next_at, poller.state.checkpoint.cursor) == (1, 1005, "a")
    poller.step(len_of)
    assert (poller.state.is_syncing, poller.state.rows, poller.state.failures) == (False, 3, 0)
    poller.step(len_of)

    assert [(event.kind, event.status, event.items, event.removed) for event in events] == [
        ("page", 200, 2, 1),
        ("backoff", 503, 0, 0),
        ("page", 200, 1, 0),
        ("idle", 304, 0, 0),
    ]
    assert poller.state.last is events[-1]
    assert (poller.state.polls, poller.state.size) == (4, sum(event.size for event in events))
    assert [record.levelname for record in caplog.records if record.name == "django_pollable.client"] == [
        "DEBUG",
        "WARNING",
        "DEBUG",
        "DEBUG",
    ]


def test_tokens_headers_and_auth_are_sent(serve: Any) -> None:
    server = serve(script([answer(304)]))
    tokens = iter(["one", "Bearer two"])
    asked: list[dict[str, Any]] = [
        {"token": lambda: next(tokens)},
        {"token": lambda: next(tokens)},
        {"token": "three"},
        {"auth": ("me", "secret")},
        {"headers": {"X-Key": "k"}},
    ]
    for options in asked:
        step_sync(server.url, **options)

    sent = [request.headers.get("authorization") for request in server.requests]
    assert sent == ["Token one", "Bearer two", "Token three", "Basic bWU6c2VjcmV0", None]
    assert server.requests[4].headers["x-key"] == "k"


def test_an_asynchronous_token_is_awaited(serve: Any) -> None:
    async def token() -> str:
        return "one"

    server = serve(script([answer(304)]))
    step_async(server.url, token=token)
    step_async(server.url, token="two")

    assert [request.headers["authorization"] for request in server.requests] == ["Token one", "Token two"]


@both
def test_a_redirect_on_the_same_origin_is_followed_with_the_tag(serve: Any, step: Step) -> None:
    server = serve(script([answer(307, Location="/there/?since=a")], [answer(304)]))
    store = MemoryStore()
    store.save(server.url, Checkpoint("a", '"a"'))

    outcome = step(server.url, store=store, token="secret")

    assert outcome.reason == "not-modified"
    assert server.requests[1].headers["if-none-match"] == '"a"'
    assert server.requests[1].headers["authorization"] == "Token secret"


@both
def test_a_redirect_to_another_origin_is_not_followed(serve: Any, step: Step) -> None:
    other = serve(script([GOOD]))
    server = serve(script([answer(302, Location=other.url)]))

    outcome = step(server.url, token="secret", headers={"X-Key": "k"})

    assert (outcome.kind, outcome.reason) == ("backoff", "redirect")
    assert other.requests == []


@both
def test_a_redirect_to_another_host_on_the_same_port_is_not_followed(serve: Any, step: Step) -> None:
    server = serve(script([GOOD]))
    port = server.server_address[1]
    server.respond = script([answer(302, Location=f"http://localhost:{port}/")], [GOOD])

    assert step(server.url).reason == "redirect"
    assert len(server.requests) == 1


@both
def test_redirects_end(serve: Any, step: Step) -> None:
    server = serve(script([answer(302, Location="/again")]))

    assert step(server.url).reason == "redirect"
    assert len(server.requests) == 5


@both
@pytest.mark.parametrize("sent", ["plain", "bomb"])
def test_a_body_is_taken_in_up_to_a_limit_that_holds_after_decompression(serve: Any, step: Step, sent: str) -> None:
    if sent == "bomb":
        bad = answer(200, gzip.compress(b"0" * 100_000_000), Content_Encoding="gzip")
    else:
        bad = answer(200, b"0" * 2_000_000)

    outcome = step(serve(script([bad])).url, limits=replace(Limits(), max_body=1_000_000))

    assert outcome.reason == "too-large"


def test_a_bomb_takes_no_more_memory_than_the_limit() -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    body = Body(httpx2.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx2.ByteStream(b"")), 1_000_000)
    tracemalloc.start()

    with pytest.raises(Refusal):
        body.add(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 5_000_000


@both
def test_a_compressed_page_is_read(serve: Any, step: Step) -> None:
    server = serve(script([answer(200, gzip.compress(BODY), Content_Encoding="gzip")]))

    assert step(server.url).kind == "page"
    assert server.requests[0].headers["accept-encoding"] == "gzip"


@both
@pytest.mark.parametrize(
    ("body", "encoding"),
    [(gzip.compress(BODY)[:-12], "gzip"), (b"not gzip", "gzip"), (zlib.compress(BODY), "br"), (BODY, "gzip, gzip")],
)
def test_a_badly_compressed_page_is_refused(serve: Any, step: Step, body: bytes, encoding: str) -> None:
    outcome = step(serve(script([answer(200, body, Content_Encoding=encoding)])).url)

    assert (outcome.kind, outcome.reason) == ("backoff", "protocol")


@both
@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 10_000_000], "protocol"),
        ([b"HTTP/1.1 100 Continue\r\n\r\n" * 2000, GOOD, CLOSE], ""),
        ([b"HTTP/1.1 103 Early Hints\r\n\r\n", 0.01, GOOD, CLOSE], ""),
        ([b"HTTP/1.1 101 Switching Protocols\r\n\r\n", CLOSE], "protocol"),
        ([b"nonsense\r\n\r\n", CLOSE], "protocol"),
        ([answer(200, BODY, Location="http://[bad"), CLOSE], ""),
        ([answer(302, Location="http://[bad"), CLOSE], "redirect"),
        ([answer(302, Location="\x80:"), CLOSE], "redirect"),
        ([answer(206, BODY), CLOSE], "status-206"),
        ([answer(302), CLOSE], "status-302"),
        ([answer(200, BODY, Retry_After="1e99", X_Poll_Interval="-inf"), CLOSE], ""),
    ],
)
def test_what_an_adversary_sends_is_survived(serve: Any, step: Step, parts: list[Part], reason: str) -> None:
    outcome = step(serve(script(parts)).url, limits=Limits(total=5))

    assert outcome.reason == reason or (reason == "" and outcome.kind == "page"), outcome


def test_early_hints_for_ever_end_at_the_deadline(serve: Any) -> None:
    server = serve(lambda _: (part for _ in range(1000) for part in (b"HTTP/1.1 103 Hints\r\n\r\n", 0.02)))

    assert step_sync(server.url, limits=LIMITS).reason == "timeout"


def test_a_callers_client_stays_open_and_can_be_a_double() -> None:
    def respond(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=page("a", 1, reset=True), headers={"ETag": '"a"'})

    client = httpx2.Client(transport=httpx2.MockTransport(respond))

    assert step_sync("http://feed/", client=client).kind == "page"
    assert not client.is_closed

    asynchronous = httpx2.AsyncClient(transport=httpx2.MockTransport(respond))
    assert step_async("http://feed/", client=asynchronous).kind == "page"


def test_a_foreign_transport_bounds_the_body_too(serve: Any) -> None:
    server = serve(script(FAULTS["trickling body"]()))
    with httpx2.Client() as client:
        begin = time.monotonic()
        outcome = step_sync(server.url, client=client, limits=LIMITS)

    assert outcome.reason == "timeout"
    assert time.monotonic() - begin < IN_TIME


def test_the_transport_serves_without_a_deadline_too(serve: Any) -> None:
    with httpx2.Client(transport=DeadlineTransport()) as client:
        assert client.get(serve(script([GOOD])).url).json()["next_since"] == "b"
        with pytest.raises(httpx2.ConnectError):
            client.get("http://127.0.0.1:9/")


class CacheTransport(httpx2.BaseTransport):
    """What hishel looks like."""

    def __init__(self) -> None:
        self.next_transport = DeadlineTransport()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=page("a"), extensions={"hishel_from_cache": True})


class Wrapper(CacheTransport):
    """Shows what it wraps."""


def test_a_client_with_a_cache_is_refused() -> None:
    with pytest.raises(CachingClient):
        Poller("http://feed/", client=httpx2.Client(transport=CacheTransport()))
    with pytest.raises(CachingClient):
        AsyncPoller("http://feed/", client=httpx2.Client(mounts={"http://": Wrapper()}))


def test_an_answer_from_a_cache_is_refused() -> None:
    def respond(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=page("a"), extensions={"hishel_from_cache": True})

    with pytest.raises(CachingClient):
        step_sync("http://feed/", client=httpx2.Client(transport=httpx2.MockTransport(respond)))


def test_the_proxy_of_the_environment_is_used(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = serve(script([GOOD]))
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.delenv("no_proxy", raising=False)

    assert step_sync("http://feed.test/items/").kind == "page"
    assert proxy.requests[0].path == "http://feed.test/items/"


def test_the_asynchronous_poller_does_the_same(serve: Any) -> None:
    start = answer(200, page("0", reset=True, more=True))
    answers = [
        [answer(410)],
        [start],
        [FIRST],
        [answer(503)],
        [answer(200, page("a"), ETag='"x"')],
        [answer(304)],
        [GOOD],
    ]
    server = serve(script(*answers))
    seen: list[Page] = []
    waits: list[float] = []

    async def act() -> None:
        poller = AsyncPoller(server.url, sleep=waits.append, draw=lambda: 0.5, pace=Pace(interval=10))
        outcome = await poller.catch_up(handle)
        assert outcome.kind == "page"
        async with poller:
            async for delivered in poller:
                await poller.ack()
                await poller.ack()
                seen.append(delivered)
                poller.stop()
            assert poller.state.checkpoint.cursor == "b"

    async def handle(page: Page) -> None:
        seen.append(page)

    asyncio.run(act())
    assert [page.next_since for page in seen] == ["0", "a", "b"]
    assert waits == [5, 5, 10, 10]


def test_the_asynchronous_iteration_needs_an_acknowledgement_too(serve: Any) -> None:
    async def act() -> None:
        async for _ in AsyncPoller(serve(script([FIRST])).url):
            pass

    with pytest.raises(NotAcknowledged):
        asyncio.run(act())


def test_the_asynchronous_wait_ends_at_stop(serve: Any) -> None:
    async def act() -> None:
        poller = AsyncPoller(serve(script([FIRST], [answer(304)])).url, pace=Pace(interval=60))
        asyncio.get_running_loop().call_later(0.3, poller.stop)
        await asyncio.wait_for(poller.run(ignore), 3)

    asyncio.run(act())


def test_the_count_of_304s_is_kept_for_the_next_process(serve: Any) -> None:
    store = MemoryStore()
    server = serve(script([FIRST], [answer(304)]))
    for _ in range(3):
        step_sync(server.url, store=store) if store.load(server.url) else Poller(server.url, store=store).step(len_of)

    assert store.load(server.url) == Checkpoint("a", '"a"', unchanged=2)
