"""Errors as problem details (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.http import HttpResponseBase, JsonResponse
from rest_framework.exceptions import APIException, ErrorDetail, Throttled
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.response import Response

from django_pollable.conf import conf
from django_pollable.exceptions import PollError, TryLater
from django_pollable.pacing import retry_after

__all__ = ["MEDIA_TYPE"]

MEDIA_TYPE = "application/problem+json"


class ProblemRenderer(JSONRenderer):
    """JSON that says that it is problem details."""

    media_type = MEDIA_TYPE
    format = "problem"


class Refused(Throttled):
    """A `TryLater` for views that are not pollable: REST framework's own handler answers it with problem details."""

    def __init__(self, error: TryLater) -> None:
        super().__init__(error.retry_after)
        self.status_code = error.status
        self.detail = body_of(error)


def body_of(error: PollError) -> dict[str, Any]:
    """Return the problem details of `error`."""
    return _body(error.code, error.title, error.status, error.detail) | error.members


def http_response(error: PollError) -> JsonResponse:
    """Return the answer of a view of Django's own."""
    headers = {**error.headers, "Cache-Control": "no-store"}
    return JsonResponse(body_of(error), status=error.status, headers=headers, content_type=MEDIA_TYPE)


def of_poll_error(error: PollError, *, restart: str) -> Response:
    """Return the answer that `error` means; `restart` is the URL of a first sync."""
    body = body_of(error)
    if error.status == HTTPStatus.GONE:
        body["restart"] = restart
    return Response(body, status=error.status, headers=error.headers, exception=True)


def describe(response: HttpResponseBase, exc: Exception) -> None:
    """
    Turn the body of DRF's answer to `exc` into problem details; what was in it stays under `errors`.

    An answer that a project's own handler has rendered stays as it is. A throttle's `Retry-After` is
    spread, so that those who are refused together do not come back together.
    """
    if isinstance(exc, Refused):
        return
    if isinstance(exc, Throttled):
        response.headers["Retry-After"] = str(
            retry_after(getattr(exc, "wait", None) or 1, spread=conf.retry_after_spread_seconds)
        )
    if not isinstance(response, Response):
        return
    phrase = _phrase(response.status_code)
    code = getattr(exc, "default_code", None) if isinstance(exc, APIException) else None
    detail = response.data.get("detail") if isinstance(response.data, dict) else None
    body = _body(
        str(code or phrase).lower().replace("_", "-").replace(" ", "-"),
        phrase,
        response.status_code,
        str(detail or phrase),
    )
    if not isinstance(detail, ErrorDetail | str):
        body["errors"] = response.data
    response.data = body


def finalize(response: HttpResponseBase) -> None:
    """Forbid storing an error, and give it the media type of a problem unless a person reads it as a page."""
    response.headers["Cache-Control"] = "no-store"
    renderer = getattr(response, "accepted_renderer", None)
    if not isinstance(response, Response) or isinstance(renderer, BrowsableAPIRenderer):
        return
    response.accepted_renderer = JSONRenderer()
    response.accepted_media_type = JSONRenderer.media_type
    response.content_type = MEDIA_TYPE


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"


def _body(code: str, title: str, status: int, detail: str) -> dict[str, Any]:
    return {"type": f"{conf.problem_base_uri}{code}", "title": title, "status": int(status), "detail": detail}
