"""Files and growing logs by ranges: `ranged()` for every view, `RangeMixin` for those of REST framework."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from mimetypes import guess_type
from typing import Any, ClassVar, cast

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.http import FileResponse, HttpRequest, HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.http import content_disposition_header
from rest_framework.request import Request
from rest_framework.response import Response

from django_pollable import problems
from django_pollable.caching import CachePolicy
from django_pollable.conditional import NotModified, Validators
from django_pollable.conf import conf
from django_pollable.exceptions import PollError
from django_pollable.ranges import MAX_RANGES, Part, Span, byteranges, requested
from django_pollable.representations import describe_user, varies_of
from django_pollable.signals import poll_answered
from django_pollable.sources import BLOCK, Source

__all__ = ["RangeMixin", "ranged"]

SAFE = ("GET", "HEAD")


def ranged(
    request: HttpRequest | Request,
    source: Any,
    *,
    content_type: str | None = None,
    filename: str = "",
    as_attachment: bool = False,
    etag: str | None = None,
    append_only: bool = False,
    variant: object = "",
    cache_policy: CachePolicy | None = None,
    poll_interval_seconds: float | None = None,
    max_ranges: int = MAX_RANGES,
    clock: Callable[[], float] = time.time,
) -> HttpResponseBase:
    """
    Return the answer to a GET or HEAD of `source`: 200, 206, 304, 412 or 416 (RFC 9110 Sections 13 and 14).

    Nothing but a block of the source is in memory at a time, and it is closed however the answer ends. Bytes that
    are added meanwhile are not sent; where some are gone the connection is dropped.

    Args:
        source: a path, a file of Django's (as a `FileField` has), or an open binary file that can seek.
        content_type, filename, as_attachment: as `FileResponse` has them.
        etag: the tag where neither file system nor storage tell when the source changes.
        append_only: promises that bytes are only ever added: ranges go on while it grows. When it is begun
            anew, so is the client's copy. Answers then have `X-Poll-Interval`.
        variant: what else tells representations under one URL apart: it is part of the tag.
        cache_policy: `CachePolicy.private()` by default.
        poll_interval_seconds: what `X-Poll-Interval` says; None for the setting, if the source grows.
        max_ranges: where a request asks for more, it gets everything.
        clock: Unix seconds.

    Raises:
        Http404: there is no such file.
        ImproperlyConfigured: nothing tells when the source changes.
    """
    http: HttpRequest = getattr(request, "_request", request)
    opened = Source.open(source, is_log=append_only)
    name = filename or opened.name
    try:
        validators = opened.validators(etag=etag, variant=variant, now=clock())
        response = _answer(http, opened, validators, content_type or _type_of(name), max_ranges)
    except PollError as error:
        opened.file.close()
        response = problems.http_response(error)
    except BaseException:
        opened.file.close()
        raise
    response.headers["Accept-Ranges"] = "bytes"
    if append_only or poll_interval_seconds is not None:
        interval = conf.poll_interval_seconds if poll_interval_seconds is None else poll_interval_seconds
        response.headers["X-Poll-Interval"] = f"{interval:g}"
    if response.status_code < 400:
        validators.patch(response, http)
        (cache_policy or CachePolicy.private()).patch(response)
    disposition = content_disposition_header(as_attachment, filename.rpartition("/")[2])
    if disposition and response.status_code in (200, 206):
        response.headers["Content-Disposition"] = disposition
    return response


class RangeResponse(FileResponse):
    """Bytes of a source as they are, which a server reads a block at a time."""

    block_size = BLOCK

    def __init__(self, content: Any, source: Source, *, length: int, content_type: str, status: int = 200) -> None:
        super().__init__(content, content_type=content_type, status=status)
        self._file = source.file
        self.headers["Content-Length"] = str(length)

    def set_headers(self, filelike: Any) -> None:
        """Leave the headers to `ranged()`."""

    def has_header(self, header: str) -> bool:
        """Pretend an encoding: what GZipMiddleware compresses has other bytes each time, and no ranges."""
        return header.lower() == "content-encoding" or super().has_header(header)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        blocks = cast(Iterator[bytes], self.streaming_content)
        while block := await sync_to_async(lambda: next(blocks, b""))():
            yield block

    def close(self) -> None:
        self._file.close()
        super().close()


class RangeMixin:
    """
    A view of REST framework that serves what `get_source()` returns, after its authentication and permissions.

    Attributes:
        content_type, as_attachment, append_only, cache_policy, poll_interval_seconds, max_ranges: see `ranged`.
        varies_by_user: False where all users get the same bytes, and may share tags.
    """

    content_type: ClassVar[str | None] = None
    as_attachment: ClassVar[bool] = False
    append_only: ClassVar[bool] = False
    cache_policy: ClassVar[CachePolicy] = CachePolicy.private()
    poll_interval_seconds: ClassVar[float | None] = None
    max_ranges: ClassVar[int] = MAX_RANGES
    varies_by_user: ClassVar[bool] = True

    def get_source(self) -> Any:
        """Return what to serve: a path, a file of Django's, or an open binary file that can seek."""
        raise ImproperlyConfigured(f"'{type(self).__name__}' must define `get_source()`.")

    def get_filename(self) -> str:
        """Return the name that a browser saves the file under, or an empty one for the last part of the URL."""
        return ""

    def get_epoch(self) -> Any:
        """Return what is another one when the source is begun anew, where its bytes may not tell."""
        return None

    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = ranged(
            request,
            self.get_source(),
            content_type=self.content_type,
            filename=self.get_filename(),
            as_attachment=self.as_attachment,
            append_only=self.append_only,
            variant=(self.get_epoch(), describe_user(request.user) if self.varies_by_user else None),
            cache_policy=self.cache_policy,
            poll_interval_seconds=self.poll_interval_seconds,
            max_ranges=self.max_ranges,
        )
        varies = varies_of(cast(Any, self), is_public=self.cache_policy.is_public)
        if varies:
            patch_vary_headers(response, varies)
        return response

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """Choose a renderer for errors; a file has the type that it has."""
        return super().perform_content_negotiation(request, force=True)  # type: ignore[misc]

    def handle_exception(self, exc: Exception) -> Response:
        response: Response = super().handle_exception(exc)  # type: ignore[misc]
        problems.describe(response, exc)
        return response

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]
        if response.status_code >= 400:
            problems.finalize(response)
        if request.method in SAFE:
            poll_answered.send_robust(type(self), request=request, response=response)
        return response


def _answer(
    request: HttpRequest, source: Source, validators: Validators, content_type: str, max_ranges: int
) -> HttpResponseBase:
    """
    Return the answer without the headers that all have.

    Raises:
        PreconditionFailed, RangeNotSatisfiable: there is none.
    """
    if request.method in SAFE and validators.is_current(request):
        source.file.close()
        return NotModified()
    spans = requested(request, source.size, validators, max_ranges=max_ranges)
    if len(spans) > 1:
        boundary = secrets.token_hex(16)
        parts = tuple(byteranges(spans, source.size, content_type=content_type, boundary=boundary))
        length = sum(len(part) for part in parts)
        multipart = f"multipart/byteranges; boundary={boundary}"
        return RangeResponse(_read(source, parts), source, length=length, content_type=multipart, status=206)
    if spans:
        content = source.read(spans[0])
        response = RangeResponse(content, source, length=len(spans[0]), content_type=content_type, status=206)
        response.headers["Content-Range"] = spans[0].content_range(source.size)
        return response
    whole: Any = () if request.method == "HEAD" else source.whole()
    return RangeResponse(whole, source, length=source.size, content_type=content_type)


def _read(source: Source, parts: Iterable[Part]) -> Iterator[bytes]:
    for part in parts:
        yield from source.read(part) if isinstance(part, Span) else (part,)


def _type_of(name: str) -> str:
    """Return the media type by the name; a compressed file is not of the type of what is in it."""
    media_type, encoding = guess_type(name)
    return media_type if media_type and encoding is None else "application/octet-stream"
