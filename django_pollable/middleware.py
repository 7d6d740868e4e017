"""Middleware: what happens outside of views."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

from django_pollable import overload
from django_pollable.problems import http_response


class OutageMiddleware(MiddlewareMixin):
    """
    Answer 503 with `Retry-After` where the database cannot be reached, whatever the view.

    Pollable views do so themselves, but with `ATOMIC_REQUESTS` Django begins a transaction before it
    calls one, and commits afterwards. Put it first in `MIDDLEWARE`.
    """

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        return http_response(overload.outage(exception)) if overload.is_outage(exception) else None
