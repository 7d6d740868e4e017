"""Ranges of bytes: which are asked for, how they are carried, and of what they are."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage, Storage
from django.core.handlers.asgi import ASGIHandler
from django.db.models import FileField
from django.http import Http404, HttpRequest
from django.middleware.gzip import GZipMiddleware
from django.middleware.http import ConditionalGetMiddleware
from django.test import Client, RequestFactory, override_settings
from django.urls import path
from django.utils.http import http_date
from hypothesis import example, given
from hypothesis import strategies as st
from rest_framework.authentication import TokenAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.test import APIClient
from rest_framework.views import APIView

from django_pollable.caching import CachePolicy
from django_pollable.conditional import Validators
from django_pollable.exceptions import RangeNotSatisfiable
from django_pollable.files import RangeMixin, ranged
from django_pollable.ranges import Span, byteranges, coalesced, requested
from django_pollable.sources import SourceShrank

DATA = bytes(range(256)) * 4
PAST = 1_700_000_000
Get = Callable[..., Any]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = tmp_path / "data.bin"
    written.write_bytes(DATA)
    os.utime(written, (PAST, PAST))
    return written


@pytest.fixture
def get(file: Path, db: None) -> Iterator[Get]:
    """Give what asks for the file; `_` in a header's name is `-`. Answers that a test leaves open are closed."""

    def ask(source: Any = None, method: str = "GET", options: Any = None, **headers: str) -> Any:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        request = RequestFactory().generic(method, "/", headers=fields)
        answer = ranged(request, file if source is None else source, **options or {})
        answers.callback(answer.close)
        return answer

    with ExitStack() as answers:
        yield ask


def body(answer: Any) -> bytes:
    with closing(answer):
        return bytes(answer.getvalue())


def parts(answer: Any) -> list[tuple[str, bytes]]:
    """Return the ranges of a multipart answer and their bytes."""
    message = message_from_bytes(b"Content-Type: " + answer["Content-Type"].encode() + b"\r\n\r\n" + body(answer))
    assert message.is_multipart()
    assert not message.defects
    return [(part["Content-Range"], part.get_payload(decode=True)) for part in message.get_payload()]  # type: ignore[union-attr]


def asked(header: str, size: int, max_ranges: int = 100) -> list[tuple[int, int]]:
    request = RequestFactory().get("/", headers={"Range": header})
    return [(span.start, span.stop) for span in requested(request, size, Validators(""), max_ranges=max_ranges)]


@pytest.mark.parametrize(
    ("header", "spans"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=2-", [(2, 10)]),
        ("bytes=-3", [(7, 10)]),
        ("bytes=-30", [(0, 10)]),
        ("bytes=5-99999999999999999999999999", [(5, 10)]),
        (f"bytes={'0' * 5000}5-5", [(5, 6)]),
        ("BYTES=0-0", [(0, 1)]),
        ("bytes= 0-0 ,\t2-2", [(0, 1), (2, 3)]),
        ("bytes=0-0,,2-2,", [(0, 1), (2, 3)]),
        ("bytes=8-9,0-0", [(8, 10), (0, 1)]),
        ("bytes=0-4,20-30", [(0, 5)]),
        ("bytes=0-0,-0", [(0, 1)]),
        ("bytes=0-4,5-9", [(0, 10)]),
        ("bytes=6-9,0-2,1-3", [(6, 10), (0, 4)]),
        ("bytes=0-1,4-5,2-3,9-9", [(0, 6), (9, 10)]),
    ],
)
def test_what_a_range_asks_for(header: str, spans: list[tuple[int, int]]) -> None:
    assert asked(header, 10) == spans


@pytest.mark.parametrize(
    "header",
    [
        *("bytes", "bytes=", "bytes=,", "bytes=-", "bytes=a-b", "bytes=2-1", "bytes=0-1,x", "bytes=0-1;2-3"),
        *("bytes=1--2", "bytes =0-1", "bytes=0 - 1", "bytes=+1-2", "bytes=0x1-2", "bytes=\u0661-\u0663"),
        *("items=0-1", "", "0-1", "bytes=1-2-3"),
    ],
)
def test_what_is_malformed_or_of_another_unit_is_ignored(header: str) -> None:
    assert asked(header, 10) == []


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-11", "bytes=-0", "bytes=99-,-0", f"bytes={'9' * 5000}-"])
def test_ranges_without_a_byte_cannot_be_satisfied(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as error:
        asked(header, 10)

    assert error.value.headers == {"Content-Range": "bytes */10"}


def test_the_last_bytes_of_nothing_are_nothing() -> None:
    assert asked("bytes=-5", 0) == []
    with pytest.raises(RangeNotSatisfiable):
        asked("bytes=0-", 0)


def test_more_ranges_than_are_allowed_are_ignored() -> None:
    header = "bytes=" + ",".join(f"{number}-{number}" for number in range(0, 20, 2))

    assert len(asked(header, 100, max_ranges=10)) == 10
    assert asked(header, 100, max_ranges=9) == []


spans = st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda pair: Span(pair[0], sum(pair)))


@given(st.lists(spans, max_size=12))
def test_joining_keeps_every_byte_once_and_in_the_order_of_the_request(given_spans: list[Span]) -> None:
    joined = coalesced(given_spans)

    kept = [number for span in joined for number in range(span.start, span.stop)]
    assert sorted(kept) == sorted({number for span in given_spans for number in range(span.start, span.stop)})
    assert all(one.stop != other.start for one in joined for other in joined)
    firsts = [next(i for i, part in enumerate(given_spans) if span.start <= part.start < span.stop) for span in joined]
    assert firsts == sorted(firsts)


@given(st.text(max_size=40).map(lambda text: f"bytes={text}") | st.text("bytes=0123456789-, \t", max_size=40))
@example("bytes=--1")
@example("bytes=²-3")
def test_no_header_breaks_the_parser(header: str) -> None:
    request = HttpRequest()
    request.method, request.META["HTTP_RANGE"] = "GET", header
    try:
        found = requested(request, 50, Validators(""))
    except RangeNotSatisfiable:
        return
    assert all(0 <= span.start < span.stop <= 50 for span in found)


@given(st.lists(spans, min_size=2, max_size=6))
def test_a_multipart_body_has_the_length_that_it_says(given_spans: list[Span]) -> None:
    pieces = list(byteranges(given_spans, 80, content_type="text/plain", boundary="b"))

    whole = b"".join(piece if isinstance(piece, bytes) else DATA[piece.start : piece.stop] for piece in pieces)

    message = message_from_bytes(b"Content-Type: multipart/byteranges; boundary=b\r\n\r\n" + whole)
    got = [part.get_payload(decode=True) for part in message.get_payload()]  # type: ignore[union-attr]
    assert sum(len(piece) for piece in pieces) == len(whole)
    assert [len(part) for part in got] == [len(span) for span in given_spans]


def test_without_a_range_everything_comes(get: Get) -> None:
    answer = get()

    assert (answer.status_code, answer["Content-Length"], answer["Accept-Ranges"]) == (200, "1024", "bytes")
    assert (answer["Last-Modified"], answer["Cache-Control"]) == (http_date(PAST), "private, max-age=0")
    assert answer["ETag"].startswith('"')
    assert body(answer) == DATA


def test_one_range_comes_by_itself(get: Get) -> None:
    answer = get(Range="bytes=10-19")

    assert (answer.status_code, answer["Content-Range"], answer["Content-Length"]) == (206, "bytes 10-19/1024", "10")
    assert (answer["ETag"], answer["Cache-Control"]) == (get()["ETag"], "private, max-age=0")
    assert body(answer) == DATA[10:20]


def test_several_ranges_come_as_parts(get: Get) -> None:
    answer = get(Range="bytes=-4,0-1,1000-1001")

    assert answer.status_code == 206
    assert "Content-Range" not in answer
    assert int(answer["Content-Length"]) == len(body(get(Range="bytes=-4,0-1,1000-1001")))
    assert parts(answer) == [
        ("bytes 1020-1023/1024", DATA[-4:]),
        ("bytes 0-1/1024", DATA[:2]),
        ("bytes 1000-1001/1024", DATA[1000:1002]),
    ]


def test_a_range_that_is_not_there_is_a_problem(get: Get) -> None:
    answer = get(Range="bytes=1024-")

    assert (answer.status_code, answer["Content-Range"], answer["Cache-Control"]) == (416, "bytes */1024", "no-store")
    assert answer["Content-Type"] == "application/problem+json"
    assert "ETag" not in answer


def test_a_head_has_the_headers_of_everything_and_no_body(get: Get) -> None:
    answer = get(method="HEAD", Range="bytes=0-1")

    assert (answer.status_code, answer["Content-Length"], answer["ETag"]) == (200, "1024", get()["ETag"])
    assert body(answer) == b""


def test_if_range_wants_the_very_tag_or_the_very_date(get: Get) -> None:
    etag = get()["ETag"]

    for held in (etag, http_date(PAST)):
        assert get(Range="bytes=0-0", If_Range=held).status_code == 206
    for failed in (f"W/{etag}", '"other"', http_date(PAST + 1), http_date(PAST - 1), "nonsense", etag.strip('"')):
        assert get(Range="bytes=0-0", If_Range=failed).status_code == 200
    assert get(Range="bytes=9999-", If_Range='"other"').status_code == 200


def test_preconditions_come_before_ranges(get: Get) -> None:
    """RFC 9110 Section 13.2.2."""
    etag, part = get()["ETag"], {"Range": "bytes=9999-"}

    assert get(If_None_Match=f'"x", W/{etag}', **part).status_code == 304
    assert get(If_Modified_Since=http_date(PAST), **part).status_code == 304
    assert get(If_Match='"other"', If_None_Match=etag, **part).status_code == 412
    assert get(If_Unmodified_Since=http_date(PAST - 1), **part).status_code == 412
    assert get(If_Match=f'"x", {etag}', If_Range=etag, Range="bytes=0-0").status_code == 206
    assert get(If_Match=f"W/{etag}").status_code == 412
    assert get(If_None_Match='"other"', If_Modified_Since=http_date(PAST), Range="bytes=0-0").status_code == 206


def test_a_304_has_the_headers_of_the_200(get: Get) -> None:
    answer = get(If_None_Match="*")

    assert answer.status_code == 304
    names = ("ETag", "Last-Modified", "Cache-Control", "Accept-Ranges")
    assert {name: answer[name] for name in names} == {name: get()[name] for name in names}


def test_a_file_that_has_just_changed_has_a_weak_tag_and_no_date(get: Get) -> None:
    def now(seconds: float) -> Any:
        return get(options={"clock": lambda: PAST + seconds})

    assert now(0.5)["ETag"] == f"W/{now(2)['ETag']}"
    assert "Last-Modified" not in now(0.5)
    assert now(1)["Last-Modified"] == http_date(PAST)


def test_a_changed_file_has_another_tag(get: Get, file: Path) -> None:
    before = get()["ETag"]
    os.utime(file, (PAST, PAST + 1))

    assert get()["ETag"] != before
    assert get(options={"variant": "bob"})["ETag"] != get(options={"variant": "alice"})["ETag"]
    assert get(options={"etag": "mine"})["ETag"] == '"mine"'


def test_a_file_that_is_not_there_is_404(get: Get, tmp_path: Path) -> None:
    with pytest.raises(Http404):
        get(tmp_path / "missing")


def test_names_say_types_and_attachments(get: Get, tmp_path: Path) -> None:
    (tmp_path / "log.txt.gz").write_bytes(b"x")

    assert get(tmp_path / "log.txt.gz")["Content-Type"] == "application/octet-stream"
    saved = get(options={"filename": "a/é.csv", "as_attachment": True})
    assert saved["Content-Type"] == "text/csv"
    assert saved["Content-Disposition"] == "attachment; filename*=utf-8''%C3%A9.csv"
    assert get(options={"content_type": "text/plain; charset=utf-8"})["Content-Type"] == "text/plain; charset=utf-8"
    assert "Content-Disposition" not in get()


class Timeless(InMemoryStorage):
    def get_modified_time(self, name: str) -> Any:
        raise NotImplementedError


def field_file(storage: Storage, name: str = "data.bin") -> Any:
    field = FileField(storage=storage)
    field.set_attributes_from_name("export")
    return field.attr_class(instance=None, field=field, name=name)


def test_the_file_of_a_field_is_served_from_its_storage(get: Get) -> None:
    storage = InMemoryStorage()
    storage.save("data.bin", ContentFile(DATA))

    answer = get(field_file(storage), Range="bytes=-2")

    assert (answer.status_code, answer["Content-Range"]) == (206, "bytes 1022-1023/1024")
    assert body(answer) == DATA[-2:]
    for missing in (field_file(storage, ""), field_file(storage, "missing")):
        with pytest.raises(Http404):
            get(missing)


def test_what_does_not_tell_when_it_changes_needs_a_tag(get: Get) -> None:
    storage = Timeless()
    storage.save("data.bin", ContentFile(DATA))

    for source in (field_file(storage), io.BytesIO(DATA)):
        with pytest.raises(ImproperlyConfigured, match="Give `etag`"):
            get(source)
    answer = get(io.BytesIO(DATA), options={"etag": "v1"}, Range="bytes=1-2")
    assert (answer["ETag"], body(answer)) == ('"v1"', DATA[1:3])


class Opened(io.BytesIO):
    """A source that never had to give more than a block at once."""

    largest = 0

    def read(self, size: int | None = -1) -> bytes:
        block = super().read(size)
        self.largest = max(self.largest, len(block))
        return block


TAG = {"etag": "v1"}


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-"}, {"Range": "bytes=0-1,9-"}], ids=["200", "206", "parts"])
def test_a_source_is_read_in_blocks_and_closed(get: Get, headers: dict[str, str]) -> None:
    source = Opened(bytes(1_000_000))
    answer = get(source, options=TAG, **headers)
    size = sum(map(len, answer))

    assert size == int(answer["Content-Length"])
    assert source.largest <= 65536
    answer.close()
    assert source.closed


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {"Range": "bytes=0-0"}),
        ("GET", {"Range": "bytes=0-0,5-5"}),
        ("GET", {}),
        ("HEAD", {}),
        ("GET", {"If-None-Match": "*"}),
        ("GET", {"If-Match": '"x"'}),
        ("GET", {"Range": "bytes=9999-"}),
    ],
)
def test_a_source_is_closed_though_nobody_reads_it(get: Get, method: str, headers: dict[str, str]) -> None:
    source = Opened(DATA)

    get(source, method, options=TAG, **headers).close()

    assert source.closed


def test_a_source_is_closed_when_something_goes_wrong(get: Get) -> None:
    source = Opened(DATA)

    with pytest.raises(ImproperlyConfigured):
        get(source)

    assert source.closed


def test_what_is_added_meanwhile_is_not_sent(get: Get, file: Path) -> None:
    whole, part = get(), get(Range="bytes=1000-")
    with file.open("ab") as end:
        end.write(b"more")

    assert body(whole) == DATA
    assert body(part) == DATA[1000:]


def test_what_is_gone_meanwhile_drops_the_connection(get: Get, file: Path) -> None:
    answer = get(Range="bytes=10-")
    os.truncate(file, 20)

    with pytest.raises(SourceShrank, match="ends 1004 bytes early"):
        body(answer)


def test_a_server_may_send_a_whole_file_by_itself_unless_it_grows(get: Get) -> None:
    assert get().file_to_stream.fileno() > 0
    assert not hasattr(get(options={"append_only": True}).file_to_stream, "fileno")
    assert get(Range="bytes=0-0").file_to_stream is None


def test_no_middleware_compresses_ranges(get: Get) -> None:
    request = RequestFactory().get("/", headers={"Accept-Encoding": "gzip"})
    for headers in ({}, {"Range": "bytes=0-999"}):
        answer = get(**headers)
        answer = GZipMiddleware(lambda _, answer=answer: answer)(request)
        assert answer["ETag"].startswith('"')
        assert "Content-Encoding" not in answer
        assert len(body(answer)) == int(answer["Content-Length"])


def test_a_middleware_for_conditions_agrees(get: Get) -> None:
    for headers, status in (
        ({}, 200),
        ({"If-Modified-Since": http_date(PAST + 9)}, 200),
        ({"If-None-Match": "*"}, 304),
    ):
        request = RequestFactory().get("/", headers=headers)
        answer = get(**headers)
        assert ConditionalGetMiddleware(lambda _, answer=answer: answer)(request).status_code == status


class Export(RangeMixin, APIView):
    """A file for those who are signed in."""

    authentication_classes = [TokenAuthentication]
    permission_classes = [IsAuthenticated]
    as_attachment = True
    path: Path

    def get_source(self) -> Path:
        return type(self).path

    def get_filename(self) -> str:
        return "export.bin"


class Shared(Export):
    authentication_classes = []
    permission_classes = []
    varies_by_user = False
    cache_policy = CachePolicy.public(max_age=60)


class Unfinished(RangeMixin, APIView):
    """Lacks `get_source()`."""


urlpatterns = [
    path("export/", Export.as_view()),
    path("shared/", Shared.as_view()),
    path("unfinished/", Unfinished.as_view()),
    path("function/", lambda request: ranged(request, Export.path)),
]


@pytest.fixture
def _served(file: Path) -> Iterator[None]:
    Export.path = file
    with override_settings(ROOT_URLCONF=__name__):
        yield


@pytest.mark.usefixtures("_served", "alice")
def test_a_view_of_rest_framework_asks_who_it_is_first(api: APIClient) -> None:
    assert api.get("/export/", headers={"If-None-Match": "*"}).status_code == 401
    api.credentials(HTTP_AUTHORIZATION="Token alice-token")

    answer = api.get("/export/", headers={"Range": "bytes=0-3", "Accept": "text/plain"})

    assert (answer.status_code, b"".join(answer.streaming_content)) == (206, DATA[:4])
    assert (answer["Vary"], answer["Cache-Control"]) == ("Authorization", "private, max-age=0")
    assert answer["Content-Disposition"] == 'attachment; filename="export.bin"'
    answer = api.get("/export/", headers={"Range": "bytes=9999-"})
    assert (answer.status_code, answer["Content-Type"]) == (416, "application/problem+json")
    assert api.head("/export/")["Content-Length"] == "1024"
    refused = api.post("/export/")
    assert (refused.status_code, refused["Content-Type"]) == (405, "application/problem+json")


@pytest.mark.usefixtures("_served")
def test_a_shared_file_has_one_tag_for_all(api: APIClient) -> None:
    answer = api.get("/shared/")

    assert (answer["Cache-Control"], "Vary" in answer) == ("public, max-age=60", False)
    with pytest.raises(ImproperlyConfigured, match="'Unfinished' must define `get_source"):
        api.get("/unfinished/")


@pytest.mark.usefixtures("_served", "db")
def test_an_event_loop_gets_blocks() -> None:
    Export.path.write_bytes(bytes(300_000))
    requests = [{"type": "http.request", "body": b""}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if requests:
            return requests.pop()
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/function/", "headers": [], "query_string": b""}
    asyncio.run(ASGIHandler()(scope, receive, send))

    sizes = [len(message["body"]) for message in sent[1:-1]]
    assert (sum(sizes), max(sizes)) == (300_000, 65536)


def test_a_plain_view_is_served(file: Path, db: None) -> None:
    Export.path = file
    with override_settings(ROOT_URLCONF=__name__):
        answer = Client().get("/function/", headers={"Range": "bytes=0-0"})

    assert b"".join(answer) == DATA[:1]
