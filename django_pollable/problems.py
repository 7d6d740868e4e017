"""Errors as problem details (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from rest_framework.exceptions import APIException, ErrorDetail
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from django_pollable.conf import conf
from django_pollable.exceptions import PollError

MEDIA_TYPE = "application/problem+json"


def of_poll_error(error: PollError, *, restart: str) -> Response:
    """Return the answer that `error` means; `restart` is the URL of a first sync."""
    body = _body(error.code, error.title, error.status, error.detail) | error.members
    if error.status == HTTPStatus.GONE:
        body["restart"] = restart
    return Response(body, status=error.status, headers=error.headers, exception=True)


def describe(response: Response, exc: Exception) -> None:
    """Turn the body of DRF's answer to `exc` into problem details; what was in it stays under `errors`."""
    status = HTTPStatus(response.status_code)
    code = getattr(exc, "default_code", None) if isinstance(exc, APIException) else None
    detail = response.data.get("detail") if isinstance(response.data, dict) else None
    body = _body(
        str(code or status.name).lower().replace("_", "-"), status.phrase, status, str(detail or status.phrase)
    )
    if not isinstance(detail, ErrorDetail | str):
        body["errors"] = response.data
    response.data = body


def finalize(response: Response, request: Request) -> None:
    """Forbid storing an error, and give it the media type of a problem unless a person reads it as a page."""
    response.headers["Cache-Control"] = "no-store"
    if isinstance(getattr(response, "accepted_renderer", None), BrowsableAPIRenderer):
        return
    response.accepted_renderer = JSONRenderer()
    response.accepted_media_type = JSONRenderer.media_type
    response.content_type = MEDIA_TYPE


def _body(code: str, title: str, status: int, detail: str) -> dict[str, Any]:
    return {"type": f"{conf.problem_base_uri}{code}", "title": title, "status": int(status), "detail": detail}
