"""Logs that grow: one tag survives appending, and none survives a rotation."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.test import RequestFactory, override_settings
from django.utils.http import http_date
from hypothesis import given, settings
from hypothesis import strategies as st

from django_pollable.files import RangeMixin, ranged
from django_pollable.sources import SAMPLE

LINES = random.Random(0).randbytes(3 * SAMPLE)
Get = Callable[..., Any]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "build.log"


@pytest.fixture
def get(log: Path, db: None) -> Get:
    def ask(have: int | None = None, etag: str = "", options: Any = None, **headers: str) -> Any:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        fields |= {} if have is None else {"Range": f"bytes={have}-"}
        fields |= {"If-Range": etag} if etag else {}
        answer: Any = ranged(RequestFactory().get("/", headers=fields), log, append_only=True, **options or {})
        with closing(answer):
            answer.body = answer.getvalue()
        return answer

    return ask


@pytest.mark.parametrize("sizes", [(0, 1), (1, 5), (5, SAMPLE), (SAMPLE, SAMPLE + 1), (SAMPLE + 1, 3 * SAMPLE)])
def test_a_tag_survives_appending(get: Get, log: Path, sizes: tuple[int, int]) -> None:
    before, after = sizes
    log.write_bytes(LINES[:before])
    etag = get()["ETag"]
    log.write_bytes(LINES[:after])

    answer = get(before, etag)

    assert (answer.status_code, answer["Content-Range"]) == (206, f"bytes {before}-{after - 1}/{after}")
    assert answer.body == LINES[before:after]
    assert answer["ETag"] != etag


def test_a_log_that_has_not_grown_is_416_or_304(get: Get, log: Path) -> None:
    """P30: `bytes=<size>-`."""
    log.write_bytes(b"one\n")
    etag = get()["ETag"]

    same = get(4, etag)
    assert (same.status_code, same["Content-Range"], same["X-Poll-Interval"]) == (416, "bytes */4", "5")
    assert get(4, etag, If_None_Match=etag).status_code == 304
    log.write_bytes(b"one\ntwo\n")
    assert get(4, etag, If_None_Match=etag).body == b"two\n"


@pytest.mark.parametrize(
    "rotated",
    [b"", LINES[: SAMPLE - 1], b"x" + LINES[1 : 3 * SAMPLE], LINES[: 2 * SAMPLE - 1] + b"x" + LINES[2 * SAMPLE :]],
    ids=["empty", "shorter", "another begin", "another end of what was there"],
)
def test_a_log_that_was_begun_anew_comes_whole(get: Get, log: Path, rotated: bytes) -> None:
    log.write_bytes(LINES[: 2 * SAMPLE])
    etag = get()["ETag"]
    log.write_bytes(rotated)

    answer = get(2 * SAMPLE, etag)

    assert (answer.status_code, answer.body) == (200, rotated)


def test_an_epoch_tells_logs_apart_whose_bytes_do_not(get: Get, log: Path) -> None:
    log.write_bytes(b"begun\n")
    first = get(options={"variant": "first run"})["ETag"]

    assert get(0, first, options={"variant": "first run"}).status_code == 206
    assert get(0, first, options={"variant": "second run"}).status_code == 200


def test_a_log_that_is_not_there_is_empty(get: Get, log: Path) -> None:
    answer = get()

    assert (answer.status_code, answer.body, answer["Content-Length"]) == (200, b"", "0")
    log.write_bytes(b"begun\n")
    assert get(0, answer["ETag"]).body == b"begun\n"


def test_a_date_holds_until_the_log_grows(get: Get, log: Path) -> None:
    log.write_bytes(b"one\n")
    os.utime(log, (1, 1_700_000_000))

    assert get(0, http_date(1_700_000_000)).status_code == 206
    os.utime(log, (1, 1_700_000_001))
    assert get(0, http_date(1_700_000_000)).status_code == 200


def test_what_looks_like_a_tag_of_a_log_is_checked(get: Get, log: Path) -> None:
    log.write_bytes(LINES)
    size, _, mark = get()["ETag"].strip('"').partition("-")

    for forged in (f"{size}-", f"0-{mark}", f"1-{mark}", f"-{mark}", f"fffffffffffffff-{mark}", f"{'f' * 99}-{mark}"):
        assert get(0, f'"{forged}"').status_code == 200


def test_the_pace_is_told_with_every_answer(get: Get, log: Path) -> None:
    log.write_bytes(b"one\n")

    with override_settings(POLLABLE_POLL_INTERVAL_SECONDS=2):
        answers = [get(), get(0), get(4), get(If_None_Match="*")]
    assert [answer.status_code for answer in answers] == [200, 206, 416, 304]
    assert {answer["X-Poll-Interval"] for answer in answers} == {"2"}
    assert get(options={"poll_interval_seconds": 0.5})["X-Poll-Interval"] == "0.5"
    assert get()["Cache-Control"] == "private, max-age=0"


@settings(deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.data())
def test_a_client_that_follows_ends_with_the_log(tmp_path_factory: Any, pieces: list[bytes], data: Any) -> None:
    """Whatever is added, cut or begun anew between its requests; the bytes of two logs never differ by chance."""
    log = tmp_path_factory.mktemp("log") / "followed.log"
    have, etag = b"", ""
    for number, piece in enumerate([*pieces, b"end"]):
        is_new = data.draw(st.booleans())
        log.write_bytes(b"%d:" % number + piece if is_new else (log.read_bytes() if log.exists() else b"") + piece)
        if data.draw(st.booleans()) and number < len(pieces):
            continue
        headers = {"Range": f"bytes={len(have)}-"} | ({"If-Range": etag} if etag else {})
        answer: Any = ranged(RequestFactory().get("/", headers=headers), log, append_only=True)
        content = answer.getvalue()
        answer._file.close() if answer.streaming else None
        have = {200: content, 206: have + content, 416: have}[answer.status_code]
        etag = answer.get("ETag", etag)

    assert have == log.read_bytes()


def test_a_view_has_an_epoch_and_no_source() -> None:
    assert RangeMixin().get_epoch() is None
    assert RangeMixin().get_filename() == ""
