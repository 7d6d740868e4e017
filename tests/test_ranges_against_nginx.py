"""The same file by nginx and by us, for thousands of `Range` headers: the same answers, but for a few decisions."""

from __future__ import annotations

import os
import random
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email import message_from_bytes
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from django.test import RequestFactory
from django.utils.http import http_date

from django_pollable.files import ranged
from django_pollable.ranges import Span, coalesced
from tests.services import free_port, program, wait_for

SIZE, MAX_RANGES, COUNT = 1000, 8, 4000
PAST = 1_700_000_000
CONFIGURATION = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log; user {user};
events {{ worker_connections 64; }}
http {{
  access_log off; default_type application/octet-stream; max_ranges {max_ranges}; keepalive_requests 1000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port}; root {folder}/files; }}
}}
"""


@dataclass(frozen=True)
class Outcome:
    """What matters of an answer: its status, and the bytes with what is said of them."""

    status: int
    content_range: str | None
    parts: tuple[tuple[str | None, bytes], ...]

    @classmethod
    def of(cls, status: int, headers: Any, content: bytes) -> Outcome:
        assert int(headers.get("Content-Length", 0)) == len(content)
        kind = headers.get("Content-Type", "")
        if not kind.startswith("multipart/byteranges"):
            return cls(status, headers.get("Content-Range"), ((None, content if status < 400 else b""),))
        message = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + content)
        parts = [(part["Content-Range"], part.get_payload(decode=True)) for part in message.get_payload()]  # type: ignore[union-attr]
        return cls(status, headers.get("Content-Range"), tuple(parts))  # type: ignore[arg-type]


class Nginx:
    def __init__(self, folder: Path) -> None:
        (folder / "files").mkdir()
        port = free_port()
        user = "root" if os.getuid() == 0 else str(os.getuid())
        settings = {"folder": folder, "user": user, "port": port, "max_ranges": MAX_RANGES}
        (folder / "nginx.conf").write_text(CONFIGURATION.format(**settings))
        command = [program("nginx", Path("/usr/sbin")), "-p", folder, "-c", folder / "nginx.conf"]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_for(port)
        self._connection = HTTPConnection("127.0.0.1", port, timeout=30)

    def __call__(self, headers: dict[str, str], path: str = "/data.bin") -> Outcome:
        self._connection.request("GET", path, headers=headers)
        answer = self._connection.getresponse()
        outcome = Outcome.of(answer.status, answer.headers, answer.read())
        if outcome.status == 412:
            self._connection.close()  # nginx does
        return outcome

    def range(self, specs: str) -> Outcome:
        return self({"Range": f"bytes={specs}"})

    def tag(self) -> str:
        self._connection.request("HEAD", "/data.bin")
        answer = self._connection.getresponse()
        answer.read()
        return str(answer.headers["ETag"])

    def stop(self) -> None:
        self._connection.close()
        self._process.terminate()
        self._process.wait()


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Nginx, Path]]:
    folder = tmp_path_factory.mktemp("nginx")
    server = Nginx(folder)
    file = folder / "files" / "data.bin"
    file.write_bytes(random.Random(0).randbytes(SIZE))
    os.utime(file, (PAST, PAST))
    yield server, file
    server.stop()


def ours(file: Path, headers: dict[str, str]) -> Outcome:
    answer: Any = ranged(RequestFactory().get("/", headers=headers), file, max_ranges=MAX_RANGES)
    content = answer.getvalue()
    if answer.streaming:
        answer._file.close()
    elif answer.status_code != 304:
        answer.headers["Content-Length"] = str(len(content))
    return Outcome.of(answer.status_code, answer.headers, content)


def spec(draw: random.Random) -> str:
    """Return a range, most often a good one."""
    near = lambda: draw.choice([draw.randrange(SIZE), draw.randrange(SIZE + 20), SIZE, SIZE - 1, 0])  # noqa: E731
    first = near()
    kinds: list[Callable[[], str]] = [
        *[lambda: f"{first}-{first + draw.randrange(60)}"] * 8,
        *[lambda: f"{first}-", lambda: f"-{draw.randrange(60)}"] * 2,
        lambda: f"{near()}-{near()}",
        lambda: f"-{draw.choice([0, 1, SIZE, SIZE + 1, 10**17])}",
        lambda: f"00{first}-{first + 10**17}",
    ]
    return draw.choice(kinds)()


def header(draw: random.Random) -> str:
    specs = [spec(draw) for _ in range(draw.choice([1, 1, 2, 2, 3, 4, 7, 8, 9, 12]))]
    text = "bytes=" + draw.choice([",", ",", ", ", " ,"]).join(specs)
    if draw.random() < 0.25:  # break it
        place = draw.randrange(len(text) + 1)
        text = text[:place] + draw.choice(["", *"0-,= ;\tax", "--", "1" * 30]) + text[place + draw.randrange(2) :]
    return text


def is_valid(header: str) -> bool:
    """Return whether RFC 9110 Section 14.1.2 knows `header` as a set of byte ranges."""
    specs = header.removeprefix("bytes=").split(",")
    pairs = [re.fullmatch(r"[ \t]*(?:(\d*)-(\d*))?[ \t]*", spec, re.ASCII) for spec in specs]
    found = [pair.groups() for pair in pairs if pair is not None and pair[1] is not None]
    is_ordered = all((first or last) and int(first or 0) <= int(last or 10**99) for first, last in found)
    return header.startswith("bytes=") and all(pairs) and bool(found) and is_ordered


def plain(header: str) -> list[str]:
    """Return the ranges of a valid `header` in a form that nginx reads, too."""
    specs = [spec.strip(" \t") for spec in header.removeprefix("bytes=").split(",")]
    return [re.sub(r"\d{19,}", str(10**17), re.sub(r"\b0+(?=\d)", "", spec)) for spec in specs if spec]


def joined(nginx: Nginx, specs: list[str]) -> set[tuple[int, int]]:
    """Return the ranges that nginx gives one by one, without overlap."""
    alone = [Span(*place(answer.content_range)) for spec in specs if (answer := nginx.range(spec)).status == 206]
    return {(span.start, span.stop) for span in coalesced(alone)}


def place(content_range: str | None) -> tuple[int, int]:
    first, last = re.findall(r"\d+", content_range or "")[:2]
    return int(first), int(last) + 1


def compare(nginx: Nginx, file: Path, sent: str) -> str:
    """Return how the answers to `Range: <sent>` go together, after checking that they do."""
    mine, theirs = ours(file, {"Range": sent}), nginx({"Range": sent})
    if mine == theirs:
        return "the same"
    if not is_valid(sent):
        # RFC 9110 Section 14.2 lets a server reject or ignore it. nginx rejects, or takes what it understands (spaces
        # inside a range, the good ranges of a set); a client that gets everything is served in any case.
        assert mine == Outcome(200, None, ((None, file.read_bytes()),))
        return "invalid: everything"
    specs = plain(sent)
    theirs = nginx.range(",".join(specs))
    if mine == theirs:
        # Valid by the grammar of lists and of digits, but 416 in nginx.
        return "tabs, empty elements, long numbers"
    # Section 15.3.7.2 lets a server join what overlaps. nginx sends bytes twice, or everything where the sum is
    # larger than the file.
    content = file.read_bytes()
    parts = [(place(said or mine.content_range), part) for said, part in mine.parts]
    assert mine.status == 206
    assert {span for span, _ in parts} == joined(nginx, specs)
    assert all(part == content[slice(*span)] for span, part in parts)
    return "overlapping: joined"


def test_thousands_of_headers_have_the_same_answers_but_for_three_decisions(nginx: tuple[Nginx, Path]) -> None:
    server, file = nginx
    draw = random.Random(1)

    kinds = Counter(compare(server, file, header(draw).strip(" \t")) for _ in range(COUNT))

    print(dict(kinds))
    assert set(kinds) == {
        "the same",
        "invalid: everything",
        "tabs, empty elements, long numbers",
        "overlapping: joined",
    }
    assert kinds["the same"] > COUNT / 3


@pytest.mark.parametrize(
    ("spec", "status", "of_nginx"),
    [
        ("-1", 200, 200),
        ("0-0,-1", 200, 200),
        (f"{SIZE}-", 416, 416),
        ("0-", 416, 200),  # the contract (P30): a log that has not grown says so, also before its first byte
        ("-0", 416, 200),
    ],
)
def test_an_empty_file(nginx: tuple[Nginx, Path], spec: str, status: int, of_nginx: int) -> None:
    server, file = nginx
    empty = file.with_name("empty.bin")
    empty.touch()

    assert ours(empty, {"Range": f"bytes={spec}"}).status == status
    assert server({"Range": f"bytes={spec}"}, "/empty.bin").status == of_nginx


CONDITIONS = ("If-Range", "If-Match", "If-None-Match", "If-Unmodified-Since", "If-Modified-Since")
DATES = [http_date(PAST + seconds) for seconds in (-1, 0, 1)]


@pytest.mark.parametrize("name", CONDITIONS)
def test_conditions_decide_alike(nginx: tuple[Nginx, Path], name: str) -> None:
    server, file = nginx
    tags = [server.tag(), ranged(RequestFactory().get("/"), file)["ETag"]]
    # What is no date is no condition (Section 13.1.4): nginx fails it.
    others = [] if name == "If-Unmodified-Since" else ["{tag}", "W/{tag}", '"other"', '"a", {tag}', "*", "x"]

    for value in (*DATES, *others):
        for spec in ("bytes=1-2", f"bytes={SIZE}-"):
            theirs, mine = ({"Range": spec, name: value.format(tag=tag)} for tag in tags)
            assert ours(file, mine) == server(theirs), mine
