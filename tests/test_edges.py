"""The example's nginx and Varnish in front of the example, and of a server that answers as it is told to."""

from __future__ import annotations

import gzip
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from example_project.edge import PROGRAMS, running
from tests.edges import Answer, Board, ask, ask_together, in_front_of, poll_together
from tests.faulty import FaultyServer, answer, script
from tests.services import module, program

pytestmark = pytest.mark.edge

CROWD = 200
ALICE, BOB = "Token alice-demo-token", "Token bob-demo-token"
PUBLIC = {"ETag": 'W/"one"', "Cache-Control": "public, max-age=1"}
_cases = count()


@pytest.fixture(scope="module", params=PROGRAMS)
def kind(request: pytest.FixtureRequest) -> str:
    program(PROGRAMS[request.param], Path("/usr/sbin"))
    return str(request.param)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    module("gunicorn")
    server = Board(tmp_path_factory.mktemp("board"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def port(kind: str, board: Board) -> Iterator[int]:
    with in_front_of(board.port, kind) as port:
        yield port


@dataclass(frozen=True)
class Scripted:
    """An edge before a server that answers as it is told to."""

    port: int
    server: FaultyServer

    def asked(self, path: str) -> int:
        return sum(request.path == path for request in self.server.requests)


@pytest.fixture(scope="module")
def scripted(kind: str) -> Iterator[Scripted]:
    with FaultyServer(script([answer(200)])) as server, in_front_of(server.server_address[1], kind) as port:
        yield Scripted(port, server)


@pytest.fixture
def case() -> str:
    """A query that no other test has: what edges keep is kept for it alone."""
    return f"case={next(_cases)}"


def until_new(port: int, path: str, tag: str) -> Answer:
    """Ask until the answer has another tag; edges give the old one once or twice."""
    for _ in range(40):
        found = ask(port, path)
        if found.status == 200 and found.headers["etag"] != tag:
            return found
        time.sleep(0.25)
    raise TimeoutError(path)


def test_a_crowd_is_one_request_and_then_one_a_second(port: int, board: Board, case: str) -> None:
    path = f"/api/status/?{case}&slow"

    began_at = time.monotonic()
    first = ask_together(port, path, CROWD)

    assert {found.status for found in first} == {200}
    assert len({found.body for found in first}) == 1
    assert len(board.asked(case)) <= max(1, time.monotonic() - began_at)

    began_at, known = time.monotonic(), len(board.asked(case))
    tag = first[0].headers["etag"]
    polls = poll_together(port, path, CROWD, until=lambda _: time.monotonic() > began_at + 3, If_None_Match=tag)

    assert {found.status for found in polls} == {304}
    later = board.asked(case)[known:]
    assert 1 <= len(later) <= 1.1 * (time.monotonic() - began_at) + 1
    assert {(one.status, one.if_none_match) for one in later} == {(304, tag)}


def test_a_change_reaches_a_crowd_by_one_answer(port: int, board: Board, case: str) -> None:
    first = ask(port, f"/api/status/?{case}&slow&limit=1000")
    since = f"{case}&slow&since={first.json['next_since']}"
    unchanged = ask(port, f"/api/status/?{since}")
    tag = unchanged.headers["etag"]
    assert (unchanged.json["items"], ask(port, f"/api/status/?{since}", If_None_Match=tag).status) == ([], 304)

    board.change()
    polls = poll_together(
        port, f"/api/status/?{since}", CROWD, until=lambda found: found.status == 200, If_None_Match=tag
    )

    changed = [found for found in polls if found.status == 200]
    assert len(changed) == CROWD
    assert len({found.body for found in changed}) == 1
    assert [one.status for one in board.asked(since) if one.status != 304] == [200, 200]


def test_private_polls_reach_the_origin_which_answers_304(port: int, board: Board, case: str) -> None:
    path = f"/api/builds/?{case}"
    first = ask(port, path, Authorization=ALICE)

    polls = ask_together(port, path, CROWD, Authorization=ALICE, If_None_Match=first.headers["etag"])

    assert [found.status for found in polls] == [304] * CROWD
    assert [one.status for one in board.asked(case)] == [200] + [304] * CROWD
    assert "x-cache" not in first.headers


def test_the_next_user_of_a_url_gets_nothing_of_the_one_before(port: int, case: str) -> None:
    path = f"/api/builds/?{case}&limit=1000"
    alice = ask(port, path, Authorization=ALICE)
    bob = ask(port, path, Authorization=BOB, If_None_Match=alice.headers["etag"])
    anonymous = ask(port, path, If_None_Match=alice.headers["etag"])

    assert (alice.status, bob.status, anonymous.status) == (200, 200, 401)
    assert {item["project"] for item in alice.json["items"]} == {1, 2}
    assert {item["project"] for item in bob.json["items"]} == {2}


def test_no_identity_reaches_a_public_feed_and_no_cookie_comes_back(port: int, board: Board, case: str) -> None:
    found = ask(port, f"/api/status/?{case}", Authorization=ALICE, Cookie="sessionid=stale", X_Forwarded_For="8.8.8.8")

    [asked] = board.asked(case)
    assert (asked.authorization, asked.cookie, asked.forwarded_for) == ("", "", "")
    assert found.status == 200
    assert "set-cookie" not in found.headers
    assert "public" in found.headers["cache-control"]


def test_head_and_get_share_what_is_kept(port: int, board: Board, case: str) -> None:
    head = ask(port, f"/api/status/?{case}&slow", method="HEAD")
    get = ask(port, f"/api/status/?{case}&slow")

    assert (head.status, head.body) == (200, b"")
    assert head.headers["etag"] == get.headers["etag"]
    assert {one.method for one in board.asked(case)} == {"GET"}
    assert head.headers["x-cache"] == "MISS" != get.headers["x-cache"]


def test_a_range_of_a_feed_is_the_whole(port: int, case: str) -> None:
    found = ask(port, f"/api/status/?{case}", Range="bytes=0-9")
    again = ask(port, f"/api/status/?{case}", Range="bytes=0-9")

    assert (found.status, again.status) == (200, 200)
    assert found.body == again.body


@pytest.mark.parametrize("path", ["/api/status/", "/api/builds/"])
def test_a_compressed_answer_has_a_tag_that_gets_a_304(port: int, path: str, case: str) -> None:
    plain = ask(port, f"{path}?{case}", Authorization=ALICE)
    found = ask(port, f"{path}?{case}", Authorization=ALICE, Accept_Encoding="gzip")

    assert found.headers["content-encoding"] == "gzip"
    assert gzip.decompress(found.body) == plain.body
    bare = found.headers["etag"].removeprefix("W/")
    own = [f'{bare[:-1]}-gzip"', f'W/{bare}, "other"'] if path == "/api/builds/" else []
    for tag in [f"W/{bare}", bare, *own]:
        unchanged = ask(port, f"{path}?{case}", Authorization=ALICE, Accept_Encoding="gzip", If_None_Match=tag)
        assert (unchanged.status, unchanged.body) == (304, b"")
        assert "Accept-Encoding" in unchanged.headers["vary"]


@pytest.mark.parametrize(("path", "status"), [("/api/status/?limit=0&", 400), ("/api/status/none/?", 404)])
def test_errors_of_a_public_feed_are_answered_anew(port: int, board: Board, case: str, path: str, status: int) -> None:
    answers = [ask(port, f"{path}{case}") for _ in range(2)]

    assert [found.status for found in answers] == [status, status]
    asked = [one for one in board.asked("") if one.query.endswith(case)]
    assert [one.status for one in asked] == [status, status]


def test_an_expired_cursor_is_answered_anew(port: int, board: Board, case: str) -> None:
    since = ask(port, f"/api/status/?{case}").json["next_since"]
    board.manage("pollable", "epoch", "board.build")
    time.sleep(1)  # the head that is published

    answers = [ask(port, f"/api/status/?{case}&since={since}") for _ in range(2)]

    assert [found.status for found in answers] == [410, 410]
    assert [one.status for one in board.asked(f"{case}&since=")] == [410, 410]
    assert answers[0].headers["cache-control"] == "no-store"


@pytest.mark.skipif(sys.platform != "linux", reason="has no other loopback addresses")
def test_limits_count_the_client_and_not_the_edge(port: int, kind: str) -> None:
    greedy, modest = (f"127.0.{place}.{list(PROGRAMS).index(kind) + 1}" for place in (2, 3))
    asked = [ask(port, "/api/summary/", address=greedy, X_Forwarded_For="8.8.8.8").status for _ in range(12)]

    assert 429 in asked
    assert ask(port, "/api/summary/", address=modest).status == 200


def test_public_feeds_have_no_limit_behind_an_edge(port: int, case: str) -> None:
    answers = [ask(port, f"/api/events/?{case}&number={number}").status for number in range(120)]

    assert answers == [200] * 120


def test_an_origin_that_is_gone_and_back(port: int, board: Board, case: str) -> None:
    path = f"/api/status/?{case}&limit=1000"
    first = ask(port, path)
    tag = first.headers["etag"]
    time.sleep(2)

    board.stop()
    try:
        old = ask(port, path)
        unchanged = ask(port, path, If_None_Match=tag)
        refused = [ask(port, f"/api/builds/?{case}", Authorization=ALICE) for _ in range(30)]
        unknown = ask(port, f"/api/status/?{case}&limit=1")
    finally:
        board.start()

    assert (old.status, old.body, old.headers["x-cache"]) == (200, first.body, "STALE")
    assert unchanged.status == 304
    for error in [*refused, unknown]:
        assert (error.status, error.headers["cache-control"]) == (503, "no-store")
        assert error.headers["content-type"] == "application/problem+json"
        assert error.json["type"] == "urn:pollable:problem:temporary-reduced-capacity"
        assert error.json.keys() == {"type", "title", "status", "detail"}
    waits = {int(error.headers["retry-after"]) for error in refused}
    assert len(waits) > 3
    assert waits <= set(range(5, 15))

    board.change()
    assert ask(port, f"/api/builds/?{case}", Authorization=ALICE).status == 200
    assert until_new(port, path, tag).json["items"][-1]["number"] == 7


@pytest.mark.parametrize("control", ["no-store", "public, max-age=60", ""])
@pytest.mark.parametrize("status", [404, 410, 429, 500, 503])
def test_an_error_is_never_kept(scripted: Scripted, case: str, status: int, control: str) -> None:
    path = f"/api/events/?{case}"
    headers = {"Cache-Control": control} if control else {}
    scripted.server.respond = script(
        [answer(status, {}, Retry_After="7", **headers)], [answer(status, {}, Retry_After="9", **headers)]
    )

    answers = [ask(scripted.port, path) for _ in range(2)]

    assert [found.status for found in answers] == [status, status]
    assert [found.headers["retry-after"] for found in answers] == ["7", "9"]
    assert scripted.asked(path) == 2


@pytest.mark.parametrize("status", [429, 503])
def test_an_error_does_not_take_the_place_of_an_older_page(scripted: Scripted, case: str, status: int) -> None:
    path = f"/api/events/?{case}"
    scripted.server.respond = script(
        [answer(200, {"version": 1}, **PUBLIC)], [answer(status, {}, Cache_Control="no-store")]
    )
    ask(scripted.port, path)
    time.sleep(2.1)

    answers = []
    while scripted.asked(path) < 4:
        answers.append(ask(scripted.port, path))
        time.sleep(0.2)

    assert {(found.status, found.body) for found in answers} == {(200, b'{"version": 1}')}
    scripted.server.respond = script([answer(200, {"version": 2}, **PUBLIC | {"ETag": 'W/"two"'})])
    assert until_new(scripted.port, path, PUBLIC["ETag"]).json == {"version": 2}


@pytest.mark.parametrize("status", [404, 410])
def test_an_older_page_does_not_hide_that_there_is_none(scripted: Scripted, case: str, status: int) -> None:
    path = f"/api/events/?{case}"
    scripted.server.respond = script([answer(200, {}, **PUBLIC)], [answer(status, {}, Cache_Control="no-store")])
    ask(scripted.port, path)

    polls = poll_together(scripted.port, path, 5, until=lambda found: found.status == status)

    assert [found.status for found in polls].count(status) == 5


def test_a_cookie_in_a_public_answer_reaches_nobody(scripted: Scripted, case: str) -> None:
    scripted.server.respond = script([answer(200, {}, Set_Cookie="sessionid=secret", **PUBLIC)])

    for _ in range(2):
        assert "set-cookie" not in ask(scripted.port, f"/api/status/?{case}").headers


@pytest.mark.parametrize("path", ["/api/builds/", "/api/status/"])
@pytest.mark.parametrize("vary", ["", "Authorization, Cookie"])
def test_a_private_answer_is_shared_nowhere(scripted: Scripted, case: str, path: str, vary: str) -> None:
    headers = {"Cache-Control": "private, max-age=60"} | ({"Vary": vary} if vary else {})
    scripted.server.respond = script(
        *([answer(200, {"for": name}, ETag=f'W/"{name}"', **headers)] for name in ("alice", "bob"))
    )

    answers = [ask(scripted.port, f"{path}?{case}", Authorization=token) for token in (ALICE, BOB)]

    assert [found.json["for"] for found in answers] == ["alice", "bob"]


def test_what_a_private_feed_sends_arrives_as_it_is(scripted: Scripted, case: str) -> None:
    headers = {"Set-Cookie": "csrftoken=own", "ETag": 'W/"own"', "Retry-After": "7", "Accept-Ranges": "none"}
    scripted.server.respond = script([answer(503, {"status": 503}, Cache_Control="no-store", **headers)])

    found = ask(scripted.port, f"/api/builds/?{case}", Authorization=ALICE, If_None_Match='W/"own"', Cookie="a=b")

    assert {name: found.headers[name.lower()] for name in headers} == headers
    sent = scripted.server.requests[-1].headers
    assert (sent["authorization"], sent["if-none-match"], sent["cookie"]) == (ALICE, 'W/"own"', "a=b")


def test_an_edge_that_stops_by_itself_says_why(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    with FaultyServer(script([answer(200)])) as server:
        port = server.server_address[1]
        with running(kind, port=port, origin=port) as process:
            assert process.wait(30) != 0

    assert "Address already in use" in capsys.readouterr().err


def test_the_configurations_name_the_same_places(tmp_path: Path) -> None:
    texts = [Path(f"example_project/edge/{name}").read_text() for name in ("nginx.conf", "default.vcl")]

    for shared in ("^/api/(status|events)/", "8001", json.dumps({"status": 503})[1:-1].replace(" ", "")):
        assert all(shared in text for text in texts)
