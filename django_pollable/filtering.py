"""What the filters of a view refuse, and what they hide whatever a client asks for."""

from __future__ import annotations

from copy import copy
from functools import cache
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, QueryDict
from rest_framework.exceptions import APIException, ValidationError

from django_pollable.conditional import is_vague
from django_pollable.scopes import ScopedMixin

PARAMETERS_ONLY = {
    "rest_framework.filters.OrderingFilter",
    "rest_framework.filters.SearchFilter",
    "django_filters.rest_framework.backends.DjangoFilterBackend",
}
"""Filter backends that refuse only values of query parameters, for which the tag of an earlier answer vouches."""


def refuse(view: ScopedMixin) -> None:
    """
    Let `get_queryset()` and the filters of `view` refuse the request, without a query of ours.

    Filters that only know query parameters are left alone where the tag of an earlier answer vouches for
    those; and where no 304 can be given: rows are not read without them, and a cursor or the bytes of a page
    vouch for them where none are.

    Raises:
        Exception: what they raise; no validator may hide it.
    """
    _ = view.get_feed(), view.unfiltered_rows
    if is_vague(view.request._request) or _may_refuse(view):
        _ = view.shown_rows


def rows_by_rule(view: ScopedMixin) -> QuerySet[Any]:
    """
    Return the rows that `view` shows to a client that filters nothing.

    What its filters hide then is hidden by a rule. A filter that requires parameters is none; where
    the view as a whole does without parameters nothing can be told apart, and nothing is shown.
    """
    bare = copy(view)
    bare.request = copy(view.request)
    bare.request._request = copy(view.request._request)
    bare.request._request.GET = QueryDict()
    bare.filter_backends = [backend for backend in view.filter_backends if not _requires_parameters(backend, bare)]
    try:
        return bare.filter_queryset(view.unfiltered_rows.all())
    except (APIException, PermissionDenied, Http404, KeyError):
        return view.unfiltered_rows.none()


def _may_refuse(view: ScopedMixin) -> bool:
    if type(view).filter_queryset is not ScopedMixin.filter_queryset or getattr(view, "filterset_class", None):
        return True
    return not all(map(refuses_parameters_only, view.filter_backends))


@cache
def refuses_parameters_only(backend: type) -> bool:
    """Return whether `backend` is known to refuse nothing else; each of these takes an empty value for none."""
    return f"{backend.__module__}.{backend.__qualname__}" in PARAMETERS_ONLY


def _requires_parameters(backend: Any, view: ScopedMixin) -> bool:
    try:
        backend().filter_queryset(view.request, view.unfiltered_rows.all(), view)
    except ValidationError:
        return True
    except (APIException, PermissionDenied, Http404, KeyError):
        return False
    return False
