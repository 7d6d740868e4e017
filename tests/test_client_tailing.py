"""What a client of a growing log decides, by the table that every client shares."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from django_pollable.client.answers import Answer, Fault
from django_pollable.client.tailing import Place, TailMachine
from django_pollable.client.waits import LONGEST_SECONDS, Pace

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "data/tail_cases.json").read_text())["cases"]
URL = "https://example.org/log/"


def answer_of(told: dict[str, Any]) -> Answer | Fault:
    if "fault" in told:
        return Fault(told["fault"])
    body = bytes.fromhex(told["hex"]) if "hex" in told else told["body"].encode()
    return Answer(told["status"], told["headers"], body)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_case_of_the_table(case: dict[str, Any]) -> None:
    machine = TailMachine(URL, Pace(**case["pace"]), Place(**case["start"]), case.get("last"), case["chunk"])

    for number, step in enumerate(case["steps"]):
        asked = {name: machine.headers.get(name.replace("_", "-").title()) for name in step["asks"]}
        assert asked == step["asks"], number
        outcome = machine.receive(answer_of(step["answer"]), now=step["now"], draw=step["draw"])
        piece = asdict(outcome.piece) if outcome.piece else {}
        seen = {"kind": outcome.kind, "reason": outcome.reason, "wait": outcome.wait, "detail": outcome.detail} | piece
        wanted = step["means"]
        assert {name: seen.get(name) for name in wanted} == wanted | {"wait": pytest.approx(wanted["wait"])}, number
        machine = outcome.next
        assert asdict(machine.place) == step["state"], number
        assert piece.get("place", step["state"]) == step["state"], number


@pytest.mark.parametrize("values", [{"chunk": 3}, {"last": 0}, {"url": "ftp://example.org/"}])
def test_what_makes_no_sense_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"has room|begins with"):
        TailMachine(**{"url": URL} | values)


headers = st.fixed_dictionaries(
    {},
    optional={
        "content-range": st.sampled_from(["bytes 4-7/8", "bytes */4", "bytes */0", "bytes 0-0/*", "x"]) | st.text(),
        "etag": st.text(max_size=9) | st.just('"a"'),
    },
)


@given_any(st.sampled_from([200, 206, 304, 416, 503]) | st.integers(100, 599), headers, st.binary(max_size=9))
def test_no_answer_breaks_the_machine(status: int, sent: dict[str, str], body: bytes) -> None:
    machine = TailMachine(URL, place=Place(4, '"a"', True))

    outcome = machine.receive(Answer(status, sent, body), now=0, draw=0.5)

    assert 0 <= outcome.wait <= 2 * LONGEST_SECONDS
    assert outcome.next.place.offset <= 4 + len(body)
    assert (outcome.piece is not None) == (outcome.kind == "text")


@given_any(st.text(), st.data())
def test_text_in_parts_is_the_text(text: str, data: Any) -> None:
    log = text.encode(errors="replace")
    machine, got = TailMachine(URL, chunk=data.draw(st.integers(4, 9))), ""
    has_grown = 0
    while machine.place.offset < len(log):
        has_grown = data.draw(st.integers(has_grown, len(log))) if has_grown < len(log) else has_grown
        first = machine.place.offset
        part = log[first : min(first + machine.chunk, has_grown)]
        said = f"bytes {first}-{first + len(part) - 1}/{has_grown}" if part else f"bytes */{has_grown}"
        sent = Answer(206 if part else 416, {"content-range": said, "etag": '"a"'}, part)
        outcome = machine.receive(sent, now=0, draw=0)
        got += outcome.piece.text if outcome.piece else ""
        machine = outcome.next
        if not outcome.piece:
            has_grown = min(has_grown + 1, len(log))

    assert got == log.decode()
