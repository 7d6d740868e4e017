"""What an answer looks like besides its rows: its serializer, its user, its URL."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, MutableMapping
from typing import Any
from urllib.parse import urlencode
from weakref import WeakKeyDictionary

from django.http import HttpRequest
from django.utils.encoding import escape_uri_path
from django.utils.http import escape_leading_slashes
from rest_framework.authentication import SessionAuthentication
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.serializers import ALL_FIELDS, BaseSerializer
from rest_framework.settings import api_settings
from rest_framework.versioning import AcceptHeaderVersioning, QueryParameterVersioning, URLPathVersioning
from rest_framework.views import APIView

from django_pollable.cursors import fingerprint, fingerprint_once

View = GenericAPIView[Any]


def canonical_url(request: Request, *, without: tuple[str, ...], **parameters: str) -> str:
    """Return the request's path with its parameters in the order of their names, some left out, some set."""
    pairs = [(name, value) for name, values in request.GET.lists() for value in values]
    kept = [(name, value) for name, value in pairs if name not in without and name not in parameters]
    sent = urlencode(sorted([*kept, *parameters.items()], key=lambda pair: pair[0]))
    path = escape_leading_slashes(escape_uri_path(request.path))
    return f"{path}?{sent}" if sent else path


def describe_filters(view: View, request: HttpRequest, *, without: tuple[str, ...]) -> str:
    """
    Return a fingerprint of what in the query and in the path says which rows are asked for.

    That is all but the parameters `without`, and what chooses the version and the renderer.
    """
    path_without: tuple[str | None, ...] = (api_settings.FORMAT_SUFFIX_KWARG,)
    if _has_renderers_to_choose(view):
        without += (api_settings.URL_FORMAT_OVERRIDE,)
    if view.versioning_class is not None:
        parameter = (view.versioning_class.version_param,)
        without += parameter if issubclass(view.versioning_class, QueryParameterVersioning) else ()
        path_without += parameter if issubclass(view.versioning_class, URLPathVersioning) else ()
    path = tuple(sorted((name, str(value)) for name, value in view.kwargs.items() if name not in path_without))
    query = sorted((name, values) for name, values in request.GET.lists() if name not in without)
    return fingerprint(query, path) if query else fingerprint_once((), path)


def varies_of(view: View, *, is_public: bool) -> list[str]:
    """Return the request headers that renderer, version and user of an answer depend on."""
    varies = []
    if _has_renderers_to_choose(view) or _has_version_in_header(view):
        varies.append("Accept")
    if is_public:
        return varies
    by_session = [
        isinstance(authenticator, SessionAuthentication) for authenticator in view.request.authenticators or ()
    ]
    if any(by_session):
        varies.append("Cookie")
    if not all(by_session):
        varies.append("Authorization")
    return varies


def describe_user(user: Any) -> tuple[str, str] | None:
    """
    Return what tells `user` from others, or None for nobody.

    A user without a primary key is told from everybody: no answer of it is ever the same.
    """
    if user is None or not getattr(user, "is_authenticated", True):
        return None
    pk = getattr(user, "pk", None)
    return user.__class__.__qualname__, secrets.token_hex(8) if pk is None else str(pk)


_serializers: MutableMapping[Any, str] = WeakKeyDictionary()


def describe_serializer(serializer_class: Any) -> str:
    """Return a fingerprint of the fields that `serializer_class` declares, computed once a class."""
    found = _serializers.get(serializer_class)
    if found is None:
        found = _serializers[serializer_class] = fingerprint(_describe(serializer_class))
    return found


def _describe(serializer_class: Any) -> tuple[Any, ...]:
    declared = getattr(serializer_class, "_declared_fields", {})
    fields = [(name, _describe_field(field)) for name, field in declared.items()]
    meta = getattr(serializer_class, "Meta", None)
    return serializer_class.__qualname__, sorted(fields, key=lambda pair: pair[0]), sorted(_model_fields(meta))


def _describe_field(field: Any) -> tuple[Any, ...]:
    child = getattr(field, "child", None)
    if child is not None:
        return type(field).__qualname__, _describe_field(child)
    if isinstance(field, BaseSerializer):
        return _describe(type(field))
    return type(field).__qualname__, field.source or "", field.write_only


def _model_fields(meta: Any) -> Iterator[tuple[str, str]]:
    """Yield the names and types of the model's fields that `class Meta` of a serializer chooses."""
    model = getattr(meta, "model", None)
    if model is None:
        return
    yield model._meta.label, str(getattr(meta, "depth", 0))
    types = {
        field.name: field.get_internal_type() for field in (*model._meta.concrete_fields, *model._meta.many_to_many)
    }
    chosen = getattr(meta, "fields", ALL_FIELDS)
    left_out = getattr(meta, "exclude", None) or ()
    for name in types if chosen == ALL_FIELDS else chosen:
        if name not in left_out:
            yield str(name), types.get(name, "")


def _has_renderers_to_choose(view: View) -> bool:
    """A view that overrides `get_renderers()` is taken to have them."""
    return len(view.renderer_classes) > 1 or type(view).get_renderers is not APIView.get_renderers


def _has_version_in_header(view: View) -> bool:
    return view.versioning_class is not None and issubclass(view.versioning_class, AcceptHeaderVersioning)
