"""OpenAPI of pollable views by drf-spectacular: `DEFAULT_SCHEMA_CLASS`, or a mixin of a project's own."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from django.db.backends.base.operations import BaseDatabaseOperations
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import AllowAny, IsAuthenticated

from django_pollable import openapi
from django_pollable.conf import conf
from django_pollable.decorators import guards_of
from django_pollable.files import RangeMixin
from django_pollable.filtering import refuses_parameters_only
from django_pollable.ledger.keys import own_field
from django_pollable.mixins import PollableListMixin, PollableMixin, PollableRetrieveMixin
from django_pollable.openapi import Operation, Schema
from django_pollable.pagination import AfterIdPagination, FeedPagination
from django_pollable.problems import MEDIA_TYPE
from django_pollable.throttling import LimitThrottle, PollableThrottle
from django_pollable.writing import PollableDestroyMixin, PollableUpdateMixin

WRITES = ("POST", "PUT", "PATCH")

if TYPE_CHECKING:
    Base = AutoSchema
else:
    Base = object


class PollableSchemaMixin(Base):
    """
    What an `AutoSchema` of drf-spectacular learns about polls, files, conditional writes and limits.

    A parameter, a header field or an answer that `extend_schema` names goes before the one of that name here.
    """

    view: Any

    def get_override_parameters(self) -> list[Any]:
        sent = (self._sent_header(name) for name in self._operation.sent)
        said = (self._said_header(name, status) for status, names in self._said().items() for name in names)
        return [*sent, *said, *super().get_override_parameters()]

    def get_response_serializers(self) -> Any:
        if self._operation is not openapi.FILE:
            return super().get_response_serializers()
        kind = (self.view.content_type or "*/*").partition(";")[0]
        return dict.fromkeys([(200, kind), (206, kind), (206, "multipart/byteranges")], OpenApiTypes.BINARY)

    def get_paginated_name(self, serializer_name: str) -> str:
        return f"{serializer_name}FeedPage" if self._is_feed else super().get_paginated_name(serializer_name)

    def _get_filter_parameters(self) -> list[Schema]:
        """Describe filters as they are; those that take an empty value for none, as a form sends it, say so."""
        parameters: list[Schema] = super()._get_filter_parameters()  # type: ignore[no-untyped-call]
        if all(map(refuses_parameters_only, self.get_filter_backends())):
            for parameter in parameters:
                if parameter["in"] == "query" and not parameter.get("required"):
                    parameter["allowEmptyValue"] = True
        return parameters

    def _get_pagination_parameters(self) -> list[Schema]:
        parameters: list[Schema] = super()._get_pagination_parameters()  # type: ignore[no-untyped-call]
        paginator = self._paginator
        if self._is_feed and isinstance(paginator, AfterIdPagination):
            key = self.view.get_feed().model._meta.pk
            for parameter in parameters:
                if parameter["name"] == paginator.after_query_param and key.column:  # a composite one has none
                    parameter["schema"] = self._key(key)
        return parameters

    def _get_response_bodies(self, direction: Any = "response") -> Schema:
        bodies = super()._get_response_bodies(direction)
        for status in sorted(self._further_statuses()):
            bodies.setdefault(str(status), self._body_of(status))
        if self._is_feed and "200" in bodies:
            bodies["200"].setdefault("links", {"poll": self._next_poll()})
        return bodies

    def _key(self, field: Any) -> Schema:
        """Describe a value that a client sends for a primary key: a number is one that its column can hold."""
        described: Schema = self._map_model_field(field, "request")  # type: ignore[no-untyped-call]
        ranges = BaseDatabaseOperations.integer_field_ranges
        bounds = zip(("minimum", "maximum"), ranges.get(own_field(field).get_internal_type(), ()), strict=False)
        return {name: value for name, value in described.items() if name != "readOnly"} | dict(bounds)

    @property
    def _operation(self) -> Operation:
        """What of ours the operation is; an action that a project has added is none."""
        view, action = self.view, getattr(self.view, "action", None)
        if self.method == "GET":
            if isinstance(view, RangeMixin):
                return openapi.FILE
            if isinstance(view, PollableListMixin) and action in ("list", None):
                return openapi.FEED if isinstance(self._paginator, FeedPagination) else openapi.LIST
            is_retrieved = isinstance(view, PollableRetrieveMixin) and action in ("retrieve", None)
            return openapi.RETRIEVE if is_retrieved else openapi.ANY
        if isinstance(view, PollableUpdateMixin) and action in ("update", "partial_update", None):
            return openapi.UPDATE if self.method in WRITES else openapi.ANY
        is_deleted = isinstance(view, PollableDestroyMixin) and action in ("destroy", None)
        return openapi.DESTROY if is_deleted and self.method == "DELETE" else openapi.ANY

    @property
    def _is_feed(self) -> bool:
        return self._operation is openapi.FEED

    @property
    def _paginator(self) -> Any:
        return self._get_paginator()  # type: ignore[no-untyped-call]

    def _sent_header(self, name: str) -> OpenApiParameter:
        return OpenApiParameter(
            name,
            OpenApiTypes.STR,
            OpenApiParameter.HEADER,
            required=name == "If-Match" and getattr(self.view, "requires_precondition", False),
            description=openapi.REQUEST_HEADERS[name],
        )

    def _said_header(self, name: str, status: int) -> OpenApiParameter:
        description, schema = openapi.RESPONSE_HEADERS[name]
        may_be_missing = name in openapi.NOT_ALWAYS or "RateLimit" in name or self._operation is openapi.UPDATE
        return OpenApiParameter(
            name,
            schema,
            OpenApiParameter.HEADER,
            required=not may_be_missing or name == "Retry-After",
            description=description,
            response=[status],
        )

    def _said(self) -> dict[int, tuple[str, ...]]:
        """Return the header fields of each status."""
        view = self.view
        refused: dict[int, tuple[str, ...]] = {429: ("Retry-After",), 503: ("Retry-After",)}
        said = {**self._operation.said, **refused}
        if self._operation is openapi.FILE and (view.append_only or view.poll_interval_seconds is not None):
            for status in (200, 206, 304, 416):
                said[status] += ("X-Poll-Interval",)
        quotas = openapi.QUOTAS.get(conf.ratelimit_headers or "", ()) if self._is_counted() else ()
        policy = getattr(view, "cache_policy", None)
        is_private = policy is None or not policy.is_public
        for status in (200, 201, 204, 206, 304, 429) if is_private else (429,):
            said[status] = said.get(status, ()) + quotas
        return said

    def _further_statuses(self) -> set[int]:
        """Return the statuses of answers that the serializers know nothing of."""
        view = self.view
        found = {status for status in self._operation.said if status >= 300} | self._refusals()
        if isinstance(view, PollableMixin | RangeMixin):
            found |= self._usual_statuses()
        if self._operation in (openapi.UPDATE, openapi.DESTROY) and view.requires_precondition:
            found.add(428)
        return found

    def _usual_statuses(self) -> set[int]:
        """Return what REST framework answers where something is wrong with the request."""
        view = self.view
        authenticators = view.get_authenticators()
        found = {503} if isinstance(view, PollableMixin) else set()
        if self.method in WRITES:
            found.add(400)
        if "{" in self.path or (self._operation is openapi.LIST and self._paginator is not None):
            found.add(404)
        if authenticators:
            found.add(401 if view.get_authenticate_header(view.request) else 403)
        is_ruled = any(type(permission) not in (AllowAny, IsAuthenticated) for permission in view.get_permissions())
        by_session = any(isinstance(authenticator, SessionAuthentication) for authenticator in authenticators)
        if is_ruled or (by_session and self.method != "GET"):
            found.add(403)
        return found

    def _refusals(self) -> set[int]:
        """Return what throttles and decorators may answer: 429, 503, or nothing."""
        found = {status for guard in self._guards() for status in guard.statuses(self.method)}
        is_ours = isinstance(self.view, PollableMixin | RangeMixin)
        others = [throttle for throttle in self.view.get_throttles() if not isinstance(throttle, LimitThrottle)]
        return found | ({429} if self._is_counted() or (is_ours and others) else set())

    def _is_counted(self) -> bool:
        """Return whether a limit of ours counts the request, and so tells its quota."""
        limits = (
            throttle.get_rates(self.view) if isinstance(throttle, PollableThrottle) else True
            for throttle in self.view.get_throttles()
            if isinstance(throttle, LimitThrottle)
        )
        return any(limits) or any(429 in guard.statuses(self.method) for guard in self._guards())

    def _guards(self) -> Iterator[Any]:
        view = self.view
        handler = getattr(view, getattr(view, "action", None) or self.method.lower(), None)
        for decorated in (view, view.dispatch, handler):
            yield from guards_of(decorated)

    def _body_of(self, status: int) -> Schema:
        headers = self._get_response_headers_for_code(str(status))
        body: Schema = {"description": openapi.STATUSES[status]} | ({"headers": headers} if headers else {})
        if status >= 400:
            schema = self._component("Problem", openapi.PROBLEM)
            if status == 410:
                schema = self._component("CursorExpired", {"allOf": [schema, openapi.EXPIRED]})
            body["content"] = {MEDIA_TYPE: {"schema": schema}}
        return body

    def _component(self, name: str, schema: Schema) -> Schema:
        own = deepcopy(schema)  # hooks of drf-spectacular change schemas as they are
        component = ResolvedComponent(name, ResolvedComponent.SCHEMA, own, name)  # type: ignore[no-untyped-call]
        self.registry.register_on_missing(component)
        return dict(component.ref)

    def _next_poll(self) -> Schema:
        """Return the link from an answer to the next poll: by its cursor and its tag."""
        path = [parameter["name"] for parameter in self._get_parameters() if parameter["in"] == "path"]
        return {
            "operationId": self.get_operation_id(),
            "description": "The next poll: at once where `has_more`, else after `X-Poll-Interval`.",
            "parameters": {f"path.{name}": f"$request.path.{name}" for name in path}
            | {f"query.{self._paginator.since_query_param}": "$response.body#/next_since"}
            | {"header.If-None-Match": "$response.header.ETag"},
        }


class PollableAutoSchema(PollableSchemaMixin, AutoSchema):
    """The `AutoSchema` of drf-spectacular that knows polls: for `DEFAULT_SCHEMA_CLASS`."""


def describe_head(result: Schema, generator: Any, request: Any, public: bool) -> Schema:
    """
    Add `head` where `get` has a tag: as a hook of drf-spectacular, for `POSTPROCESSING_HOOKS`.

    What is served by ranges is not: `HEAD` ignores `Range`.
    """
    for methods in result["paths"].values():
        get = methods.get("get")
        if get is None or "head" in methods or "ETag" not in get["responses"].get("200", {}).get("headers", {}):
            continue
        methods["head"] = head = deepcopy(get)
        head["operationId"] += "_head"
        head["parameters"] = [one for one in head["parameters"] if one["name"] not in ("Range", "If-Range")]
        head["responses"] = {
            status: {name: value for name, value in answer.items() if name not in ("content", "links")}
            for status, answer in head["responses"].items()
            if status not in ("206", "416")
        }
    return result
