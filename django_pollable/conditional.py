"""Validators and conditional answers (RFC 9110 Section 13)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponseBase, HttpResponseNotModified
from django.utils.http import http_date, parse_etags, parse_http_date_safe

from django_pollable.exceptions import PreconditionFailed
from django_pollable.headers import HeadersWithoutLength

_SUFFIX = re.compile(r'--?(?:gzip|br|zstd|deflate|df)"$')
"""What a proxy that compresses an answer may add to its tag."""


def weak_etag(question: str, *, place: str = "") -> str:
    """
    Return a weak entity tag of the fingerprint `question`, which names the answer.

    `place` is the one of where the answer leaves its client; `find_etag` matches a tag by either.
    """
    return f'W/"{place}.{question}"' if place else f'W/"{question}"'


def find_etag(request: HttpRequest, *, place: str = "", question: str = "") -> str | None:
    """Return the tag of `If-None-Match` that has the fingerprint `place` or `question`."""
    for bare in sent_tags(request):
        sent_place, _, sent_question = bare.strip('"').rpartition(".")
        if (place and sent_place == place) or (question and sent_question == question):
            return f"W/{bare}"
    return None


def sent_tags(request: HttpRequest, header: str = "IF_NONE_MATCH") -> Iterator[str]:
    """
    Yield the tags of `header` as a weak comparison takes them: without `W/`, and without what a proxy added.

    A tag may end by itself as if a proxy had added to it: it is yielded both ways.
    """
    field = request.META.get(f"HTTP_{header}", "")
    # The one tag that a poll sends as it got it needs no parser.
    is_one = field[:3] == 'W/"' and field[-1] == '"' and field.count('"') == 2
    for sent in [field] if is_one else parse_etags(field):
        bare = sent.removeprefix("W/")
        if _SUFFIX.search(bare):
            yield _SUFFIX.sub('"', bare)
        yield bare


def names_a_tag(request: HttpRequest) -> bool:
    """Return whether `If-None-Match` names an answer, and not any."""
    return bool(request.META.get("HTTP_IF_NONE_MATCH", "*").strip() != "*")


def is_vague(request: HttpRequest) -> bool:
    """Return whether the request may get a 304 though it names no answer: by `*`, or by a date."""
    if "HTTP_IF_NONE_MATCH" in request.META:
        return not names_a_tag(request)
    return "HTTP_IF_MODIFIED_SINCE" in request.META


def has_precondition(request: HttpRequest) -> bool:
    """Return whether a write depends on the state that it finds."""
    return any(f"HTTP_{header}" in request.META for header in ("IF_MATCH", "IF_NONE_MATCH", "IF_UNMODIFIED_SINCE"))


def check_write(request: HttpRequest, *, place: str) -> None:
    """
    Check that a write may be done in the state that has the fingerprint `place` ("": one that no tag can name).

    A tag names a state whatever the representation that it came with, and however weak a proxy has made
    it. A date names none: two states may share it, and clocks differ.

    Raises:
        PreconditionFailed: the request is about another state, or says so by a date.
    """
    if "HTTP_IF_MATCH" in request.META:
        fails = not _names(request, "IF_MATCH", place)
    else:
        fails = _date(request, "IF_UNMODIFIED_SINCE") is not None
    if fails or ("HTTP_IF_NONE_MATCH" in request.META and _names(request, "IF_NONE_MATCH", place)):
        raise PreconditionFailed("The resource is not as the request wants it: get it again, for its tag in If-Match.")


def _names(request: HttpRequest, header: str, place: str) -> bool:
    return any(
        tag == "*" or (place and tag.strip('"').rpartition(".")[0] == place) for tag in sent_tags(request, header)
    )


@dataclass(frozen=True, slots=True)
class Validators:
    """
    The entity tag of an answer and the Unix second of its last change, if that may be told.

    Source: RFC 9110 Section 8.8.
    """

    etag: str
    last_modified: int | None = None

    def patch(self, response: HttpResponseBase, request: HttpRequest) -> None:
        """
        Set the response's `ETag` and `Last-Modified`.

        The latter is not told to a client with a later date, of which a middleware would make a 304.
        """
        response.headers["ETag"] = self.etag
        if self.last_modified is not None and (_date(request, "IF_MODIFIED_SINCE") or 0) <= self.last_modified:
            response.headers["Last-Modified"] = http_date(self.last_modified)

    def is_current(self, request: HttpRequest) -> bool:
        """
        Return whether the request's validators say that the client has this answer (RFC 9110 Section 13.2.2).

        A date has to be the very `Last-Modified` that was told: a later one may be another history's.

        Raises:
            PreconditionFailed: `If-Match` or `If-Unmodified-Since` forbids the answer.
        """
        self._check_preconditions(request)
        if "HTTP_IF_NONE_MATCH" in request.META:
            sent = request.META["HTTP_IF_NONE_MATCH"]
            bare = self.etag.removeprefix("W/")
            return sent == self.etag or any(tag in ("*", bare) for tag in sent_tags(request))
        return self.last_modified is not None and _date(request, "IF_MODIFIED_SINCE") == self.last_modified

    def names(self, etag: str) -> bool:
        """Return whether a part of what the strong tag `etag` names is the same part of this answer."""
        return etag == self.etag

    def _check_preconditions(self, request: HttpRequest) -> None:
        """A weak tag is never the one that `If-Match` asks for; without a date there is none to compare."""
        if "HTTP_IF_MATCH" in request.META:
            tags = parse_etags(request.META["HTTP_IF_MATCH"])
            fails = tags != ["*"] and (self.etag.startswith("W/") or self.etag not in tags)
        else:
            unmodified = _date(request, "IF_UNMODIFIED_SINCE")
            fails = unmodified is not None and self.last_modified is not None and self.last_modified > unmodified
        if fails:
            raise PreconditionFailed("The resource is not the one that the request names.")


def _date(request: HttpRequest, header: str) -> int | None:
    sent = request.META.get(f"HTTP_{header}")
    return None if sent is None else parse_http_date_safe(sent)


class NotModified(HttpResponseNotModified):
    """
    A 304 that takes no `Content-Length`.

    CommonMiddleware would say `Content-Length: 0`, which keeps caches from revalidating. `data` is there
    as on every answer of REST framework.
    """

    data = None

    def __init__(self) -> None:
        super().__init__(content_type="")  # without one Django looks for a charset
        self.headers = HeadersWithoutLength({}, self.cookies)
