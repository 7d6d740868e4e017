"""Validators and conditional answers (RFC 9110 Section 13)."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponseBase, HttpResponseNotModified
from django.utils.cache import get_conditional_response
from django.utils.http import http_date, parse_etags

from django_pollable.cursors import fingerprint
from django_pollable.exceptions import PreconditionFailed

_PRECONDITIONS = frozenset(("HTTP_IF_MATCH", "HTTP_IF_UNMODIFIED_SINCE", "HTTP_IF_MODIFIED_SINCE"))
"""What only Django's whole evaluation answers (RFC 9110 Section 13.2.2); a poll seldom has any of them."""


def weak_etag(*parts: object, end: str = "") -> str:
    """
    Return a weak entity tag of `parts`.

    `end` stands in a part of its own, so that `find_etag` can match a tag whatever its end.
    """
    tag = fingerprint(*parts)
    return f'W/"{tag}.{fingerprint(end)}"' if end else f'W/"{tag}"'


def matches(request: HttpRequest, etag: str) -> bool:
    """Return whether `If-None-Match` has `etag`, by weak comparison, or is `*`."""
    sent = _sent_tags(request)
    return etag.removeprefix("W/") in sent or sent == ["*"]


def find_etag(request: HttpRequest, etag: str) -> str | None:
    """Return the tag of `If-None-Match` that is `etag` or begins with it and has an end."""
    bare = etag.removeprefix("W/").rstrip('"')
    for sent in _sent_tags(request):
        if sent.rstrip('"') == bare or sent.startswith(f"{bare}."):
            return f"W/{sent}"
    return None


def _sent_tags(request: HttpRequest) -> list[str]:
    return [tag.removeprefix("W/") for tag in parse_etags(request.META.get("HTTP_IF_NONE_MATCH", ""))]


@dataclass(frozen=True, slots=True)
class Validators:
    """
    The entity tag of an answer and the Unix second of its last change, if that may be told.

    Source: RFC 9110 Section 8.8.
    """

    etag: str
    last_modified: int | None = None

    def patch(self, response: HttpResponseBase) -> None:
        """Set the response's `ETag` and `Last-Modified`."""
        response.headers["ETag"] = self.etag
        if self.last_modified is not None:
            response.headers["Last-Modified"] = http_date(self.last_modified)

    def is_current(self, request: HttpRequest) -> bool:
        """
        Return whether the request's validators say that the client has this answer.

        Raises:
            PreconditionFailed: `If-Match` or `If-Unmodified-Since` forbids the answer.
        """
        if not _PRECONDITIONS & request.META.keys():
            return matches(request, self.etag)
        answer = get_conditional_response(request, etag=self.etag, last_modified=self.last_modified)
        if answer is not None and answer.status_code == 412:
            raise PreconditionFailed("The resource is not the one that the request names.")
        return answer is not None


class NotModified(HttpResponseNotModified):
    """
    A 304 without `Content-Length`.

    CommonMiddleware would say `Content-Length: 0`, which speaks of the 200's body
    (RFC 9110 Section 8.6) and keeps caches from revalidating; it asks `has_header` first.
    """

    def has_header(self, header: str) -> bool:
        return header.lower() == "content-length" or super().has_header(header)

    __contains__ = has_header
