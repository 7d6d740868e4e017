"""What an answer looks like besides its rows: its serializer, its URL."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from rest_framework.generics import GenericAPIView
from rest_framework.request import Request

from django_pollable.cursors import fingerprint


def request_filters(request: Request) -> list[tuple[str, list[str]]]:
    """Return the query parameters with all their values."""
    return [(name, [str(value) for value in values]) for name, values in request.GET.lists()]


def canonical_url(request: Request, *, without: tuple[str, ...], **parameters: str) -> str:
    """Return the request's path with its parameters in canonical order, some left out, some set."""
    pairs = [(name, value) for name, values in request.GET.lists() for value in values]
    kept = [(name, value) for name, value in pairs if name not in without and name not in parameters]
    sent = urlencode(sorted([*kept, *parameters.items()]))
    return f"{request.path}?{sent}" if sent else str(request.path)


_serializers: dict[type, str] = {}


def describe_serializer(serializer_class: Any, view: GenericAPIView[Any]) -> str:
    """Return a fingerprint of the serializer's fields, computed once a class."""
    if serializer_class not in _serializers:
        fields = serializer_class(context=view.get_serializer_context()).fields
        _serializers[serializer_class] = fingerprint(
            serializer_class.__name__, [(name, type(field).__name__) for name, field in fields.items()]
        )
    return _serializers[serializer_class]
