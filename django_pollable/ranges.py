"""Ranges of bytes: which of them a request asks for, and how an answer carries them (RFC 9110 Section 14)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.http import HttpRequest
from django.utils.http import parse_http_date_safe

from django_pollable.conditional import Validators
from django_pollable.exceptions import RangeNotSatisfiable

MAX_RANGES = 100
"""What one request may ask for, by default: a reader of documents asks for a dozen."""
BEYOND = 10**18
"""Stands for each position that has more digits: no source is so long."""

_SPEC = re.compile(r"([0-9]*)-([0-9]*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes from `start` up to `stop`, which is not one of them."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def content_range(self, size: int) -> str:
        """Return what `Content-Range` says of these bytes of `size`."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


Part = bytes | Span
"""A part of a body: bytes of its own, or bytes of the source."""


def requested(
    request: HttpRequest, size: int, validators: Validators, *, max_ranges: int = MAX_RANGES
) -> tuple[Span, ...]:
    """
    Return the ranges of a source of `size` bytes that `request` is to get, or none: then it gets everything.

    Other units, malformed sets and more than `max_ranges` ranges are ignored, and so is every range in another
    request than a GET.

    Raises:
        RangeNotSatisfiable: none of the ranges has a byte.
    """
    header = request.META.get("HTTP_RANGE")
    if header is None or request.method != "GET" or not _if_range_holds(request, validators):
        return ()
    specs = _parse(header)
    found = [span for first, last in specs if (span := _span(first, last, size)) is not None]
    if len(found) > max_ranges or (not found and _has_suffix(specs)):
        return ()
    if specs and not found:
        raise RangeNotSatisfiable(size)
    return coalesced(found)


def coalesced(spans: Sequence[Span]) -> tuple[Span, ...]:
    """
    Return `spans` with those joined that overlap or touch, in the order in which their first was asked for.

    Source: RFC 9110 Section 15.3.7.2.
    """
    joined: list[tuple[int, Span]] = []
    for place, span in sorted(enumerate(spans), key=lambda pair: pair[1].start):
        if joined and span.start <= joined[-1][1].stop:
            earlier, before = joined.pop()
            place, span = min(place, earlier), Span(before.start, max(before.stop, span.stop))
        joined.append((place, span))
    return tuple(span for _, span in sorted(joined, key=lambda pair: pair[0]))


def byteranges(spans: Sequence[Span], size: int, *, content_type: str, boundary: str) -> Iterator[Part]:
    """Yield the parts of a `multipart/byteranges` body (RFC 9110 Section 14.6)."""
    for number, span in enumerate(spans):
        lines = (
            f"--{boundary}" if number == 0 else f"\r\n--{boundary}",
            f"Content-Type: {content_type}",
            f"Content-Range: {span.content_range(size)}",
        )
        yield "".join(f"{line}\r\n" for line in (*lines, "")).encode()
        yield span
    yield f"\r\n--{boundary}--\r\n".encode()


def _if_range_holds(request: HttpRequest, validators: Validators) -> bool:
    """A weak tag never holds; a date has to be the very one that was told (RFC 9110 Section 13.1.5)."""
    sent = request.META.get("HTTP_IF_RANGE")
    if sent is None:
        return True
    if sent.startswith('"'):
        return validators.names(sent)
    return validators.last_modified is not None and parse_http_date_safe(sent) == validators.last_modified


def _parse(header: str) -> list[tuple[int | None, int | None]]:
    """Return the first and last positions of a valid set of byte ranges, or an empty list."""
    unit, _, ranges = header.partition("=")
    if unit.lower() != "bytes":
        return []
    specs = []
    for element in filter(None, (element.strip(" \t") for element in ranges.split(","))):
        match = _SPEC.fullmatch(element)
        if match is None:
            return []
        first, last = (_position(digits) for digits in match.groups())
        if (first is None and last is None) or (first is not None and last is not None and last < first):
            return []
        specs.append((first, last))
    return specs


def _position(digits: str) -> int | None:
    if not digits:
        return None
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) < len(str(BEYOND)) else BEYOND


def _span(first: int | None, last: int | None, size: int) -> Span | None:
    """Return what there is of a range, or None where there is nothing; without `first` it is the last `last` bytes."""
    if first is None:
        start, stop = max(size - (last or 0), 0), size
    else:
        start, stop = first, size if last is None else min(last + 1, size)
    return Span(start, stop) if start < stop else None


def _has_suffix(specs: Sequence[tuple[int | None, int | None]]) -> bool:
    """Return whether the last bytes are asked for: an empty source has them, but cannot say where (14.1.2)."""
    return any(first is None and last for first, last in specs)
