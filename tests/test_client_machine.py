"""The client's decisions, by the table that every client shares."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st

from django_pollable.client.answers import Answer, Fault
from django_pollable.client.machine import Checkpoint, Feed, Machine
from django_pollable.client.waits import LONGEST_SECONDS, Pace, retry_after, server_interval

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "data/client_cases.json").read_text())["cases"]


def answer_of(told: dict[str, Any]) -> Answer | Fault:
    if "fault" in told:
        return Fault(told["fault"])
    body = told["body"] if isinstance(told["body"], str) else json.dumps(told["body"])
    return Answer(told["status"], told["headers"], body.encode())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_case_of_the_table(case: dict[str, Any]) -> None:
    machine = replace(Machine.of(case["url"], Pace(**case["pace"])), checkpoint=Checkpoint(**case["start"]))

    for number, step in enumerate(case["steps"]):
        since = parse_qs(urlsplit(machine.request.url).query).get("since", [None])[0]
        assert {"since": since, "if_none_match": machine.request.etag} == step["asks"], number
        outcome = machine.receive(answer_of(step["answer"]), now=step["now"], draw=step["draw"])
        page = asdict(outcome.page) if outcome.page else {}
        seen = {"kind": outcome.kind, "reason": outcome.reason, "wait": outcome.wait} | page
        wanted = step["means"]
        assert {name: seen.get(name) for name in wanted} == wanted | {"wait": pytest.approx(wanted["wait"])}, number
        machine = outcome.next if step.get("handled", True) else machine
        assert asdict(machine.checkpoint) == step["state"], number


def test_a_case_without_a_checkpoint_begins_where_its_url_says() -> None:
    for case in CASES:
        cursor = case["start"]["cursor"]
        if case["start"] == asdict(Checkpoint(cursor)) and "since=" in case["url"]:
            assert Machine.of(case["url"]).checkpoint.cursor == cursor


def test_urls_are_canonical_so_that_clients_share_cache_entries() -> None:
    feed = Feed.of("https://me:secret@example.org/items/?status=open&since=x&limit=5&name=a%20b#part")

    assert feed.at("c") == "https://me:secret@example.org/items/?limit=5&name=a+b&since=c&status=open"
    assert feed.name == "https://example.org/items/?limit=5&name=a+b&status=open"
    assert feed.start == "x"


@pytest.mark.parametrize("url", ["", "items/", "ftp://example.org/", "https:///items/", "file:///etc/passwd"])
def test_a_url_that_cannot_be_polled_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="begins with http"):
        Machine.of(url)


@pytest.mark.parametrize(
    "values",
    [{"interval": 0}, {"interval": float("nan")}, {"backoff_cap": 0}, {"drain_limit": 0}, {"revalidate_every": 0}],
)
def test_a_pace_that_makes_no_sense_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="are"):
        Pace(**values)


@pytest.mark.parametrize(
    "date", ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
)
def test_each_form_of_a_date_is_understood(date: str) -> None:
    assert retry_after({"retry-after": date}, now=784111777 - 9) == 9


draws = st.floats(0, 1, exclude_max=True)
values = st.text("0123456789 .,-+:=eGMTagex", max_size=12) | st.sampled_from(
    ["9" * 400, "1e400", "-5", "Fri, 99 Foo 2020 25:61:61 GMT", "max-age=-1", "Fri, 01 Jan 0001 00:00:00 -9999"]
)
headers = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(["retry-after", "x-poll-interval", "cache-control", "age", "date", "etag"], values)
)


@given_any(headers)
def test_no_header_makes_a_wait_endless_or_negative(sent: dict[str, str]) -> None:
    assert 0 <= retry_after(sent, now=0) <= LONGEST_SECONDS
    assert 0 <= (server_interval(sent) or 0) <= LONGEST_SECONDS


@given_any(st.integers(100, 599), headers, st.binary(max_size=60), st.integers(0, 200), draws)
def test_no_answer_breaks_the_machine_or_moves_it_without_a_page(
    status: int, sent: dict[str, str], body: bytes, failures: int, draw: float
) -> None:
    machine = replace(Machine.of("http://x/"), checkpoint=Checkpoint("a", '"a"'), failures=failures)

    outcome = machine.receive(Answer(status, sent, body), now=0, draw=draw)

    assert 0 <= outcome.wait <= 2 * LONGEST_SECONDS
    assert outcome.page is None
    assert outcome.next.checkpoint.cursor == (None if status == 410 else "a")


def test_deep_nesting_and_long_numbers_are_no_page() -> None:
    for body in (b"[" * 100_000, b'{"items": [' + b"9" * 10_000 + b"]}", b"\xff\xfe\x00"):
        assert Machine.of("http://x/").receive(Answer(200, {}, body), now=0, draw=0).reason == "invalid-page"


@given_any(st.integers(1, 2000), draws)
def test_a_backoff_never_overflows(failures: int, draw: float) -> None:
    assert Pace(interval=10).backoff(failures, minimum=0, retry_after=0, draw=draw) <= 60
