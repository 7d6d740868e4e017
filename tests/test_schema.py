"""What the OpenAPI schema says of pollable views."""

from __future__ import annotations

from typing import Any

from django.test import override_settings
from django.urls import path
from django.utils.decorators import method_decorator
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiTypes, extend_schema
from drf_spectacular.validation import validate_schema
from rest_framework.decorators import action, api_view
from rest_framework.response import Response
from rest_framework.throttling import AnonRateThrottle
from rest_framework.views import APIView

from django_pollable.decorators import ratelimit, shed_load
from django_pollable.pagination import AfterIdPagination, SincePagination
from django_pollable.schema import PollableSchemaMixin, describe_head
from django_pollable.throttling import LimitThrottle
from tests.shop import views

WRITES = {"get": "retrieve", "patch": "partial_update", "delete": "destroy", "put": "update"}


def schema_of(view: Any, route: str = "things/") -> Any:
    schema = SchemaGenerator(patterns=[path(route, view)]).get_schema(request=None, public=True)
    validate_schema(schema)
    return schema


def operation_of(view: Any, method: str = "get", route: str = "things/") -> Any:
    (methods,) = schema_of(view, route)["paths"].values()
    return methods[method]


def parameter(operation: Any, name: str) -> Any:
    return next(one for one in operation["parameters"] if one["name"] == name)


def names(operation: Any, where: str) -> set[str]:
    return {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == where}


@extend_schema(responses=str)
def answer(*args: Any) -> Response:
    return Response("")


def plain(**members: Any) -> Any:
    return type("Plain", (APIView,), {"get": answer, **members})


def test_a_feed_has_its_parameters_and_its_envelope() -> None:
    schema = schema_of(views.OpenItems.as_view(), "tenants/<int:tenants>/")
    operation = schema["paths"]["/tenants/{tenants}/"]["get"]

    assert names(operation, "query") == {"since", "limit", "status", "search", "ordering"}
    assert names(operation, "header") == {"If-None-Match", "If-Modified-Since"}
    assert operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/ItemFeedPage")
    page = schema["components"]["schemas"]["ItemFeedPage"]
    assert set(page["required"]) == {"items", "removed", "next_since", "has_more", "reset"}
    assert page["properties"]["items"]["items"] == {"$ref": "#/components/schemas/Item"}


def test_a_filter_that_is_left_empty_filters_nothing() -> None:
    class Strict(DjangoFilterBackend):
        """What it does with an empty value is not known."""

    found = [
        parameter(operation_of(views.OpenItems.as_view(filter_backends=[backend])), "status")
        for backend in (DjangoFilterBackend, Strict)
    ]

    assert [one.get("allowEmptyValue") for one in found] == [True, None]


def test_a_feed_answers_with_its_headers_and_its_problems() -> None:
    answers = operation_of(views.ItemViewSet.as_view({"get": "list"}), route="tenants/<tenant>/")["responses"]

    assert set(answers) == {"200", "304", "400", "401", "403", "404", "410", "503"}
    assert {"ETag", "Last-Modified", "Cache-Control", "Vary", "X-Poll-Interval", "Link"} <= set(
        answers["200"]["headers"]
    )
    assert answers["304"]["headers"]["ETag"]["required"]
    assert "content" not in answers["304"]
    assert answers["503"]["headers"]["Retry-After"]["required"]
    assert answers["410"]["content"] == {
        "application/problem+json": {"schema": {"$ref": "#/components/schemas/CursorExpired"}}
    }


def test_an_answer_leads_to_the_next_poll() -> None:
    operation = operation_of(views.OpenItems.as_view(), route="tenants/<int:tenants>/")

    link = operation["responses"]["200"]["links"]["poll"]
    assert link["operationId"] == operation["operationId"]
    assert link["parameters"] == {
        "path.tenants": "$request.path.tenants",
        "query.since": "$response.body#/next_since",
        "header.If-None-Match": "$response.header.ETag",
    }


def test_a_feed_for_everybody_turns_nobody_away() -> None:
    answers = operation_of(views.Logs.as_view())["responses"]

    assert not answers.keys() & {"401", "403", "404", "429"}


def test_an_id_to_go_on_from_is_of_the_type_of_the_key() -> None:
    class PricesAfter(views.Prices):
        pagination_class = AfterIdPagination

    described = [parameter(operation_of(view.as_view()), "after_id") for view in (views.Logs, PricesAfter)]

    big = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
    assert [one["schema"] for one in described] == [big, {"type": "string"}]


def test_an_ordinary_list_is_conditional_and_keeps_its_pages() -> None:
    operation = operation_of(views.NumberedItems.as_view(), route="tenants/<int:tenants>/")

    assert "page" in names(operation, "query")
    assert "since" not in names(operation, "query")
    assert operation["responses"].keys() >= {"200", "304", "400", "404"}
    assert "410" not in operation["responses"]
    assert operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/PaginatedItemList")


def test_a_single_resource_has_a_tag_for_reading_and_writing() -> None:
    view, route = views.EditedCountries.as_view(WRITES), "countries/<pk>/"
    read, written, deleted = (operation_of(view, method, route) for method in ("get", "patch", "delete"))

    assert names(read, "header") == {"If-None-Match"}
    assert "Last-Modified" not in read["responses"]["200"]["headers"]
    assert names(written, "header") == names(deleted, "header") == {"If-Match"}
    assert set(written["responses"]) == {"200", "400", "404", "412", "503"}
    assert "required" not in written["responses"]["200"]["headers"]["ETag"]
    assert set(deleted["responses"]) == {"204", "404", "412", "503"}


def test_a_view_that_requires_a_precondition_says_so() -> None:
    class Strict(views.EditedCountries):
        requires_precondition = True

    operation = operation_of(Strict.as_view(WRITES), "put", "countries/<pk>/")

    assert parameter(operation, "If-Match")["required"]
    assert "428" in operation["responses"]


def test_an_action_that_a_project_adds_is_no_poll_and_has_its_problems() -> None:
    class WithAction(views.Countries):
        @action(detail=False, pagination_class=None)
        def recent(self, request: Any) -> Response:
            return Response()

    operation = operation_of(WithAction.as_view({"get": "recent"}))

    assert names(operation, "header") == set()
    assert set(operation["responses"]) == {"200", "503"}


def test_a_log_is_served_by_ranges() -> None:
    operation = operation_of(views.GrowingLog.as_view(content_type="text/plain; charset=utf-8"))
    answers = operation["responses"]

    assert names(operation, "header") == {"Range", "If-Range", "If-None-Match", "If-Modified-Since", "If-Match"}
    assert set(answers) == {"200", "206", "304", "403", "404", "412", "416"}
    assert set(answers["206"]["content"]) == {"text/plain", "multipart/byteranges"}
    assert {"Content-Range", "Accept-Ranges", "X-Poll-Interval"} <= set(answers["206"]["headers"])
    assert "Content-Range" in answers["416"]["headers"]


def test_a_file_has_the_type_and_the_pace_that_it_has() -> None:
    answers = operation_of(views.File.as_view())["responses"]

    assert set(answers["200"]["content"]) == {"*/*"}
    assert "X-Poll-Interval" not in answers["200"]["headers"]


class Counted(LimitThrottle):
    def get_limits(self, request: Any, view: Any) -> Any:
        return ()


def test_a_throttled_view_tells_its_quota_and_refuses() -> None:
    answers = operation_of(views.Logs.as_view(throttle_classes=[Counted]))["responses"]

    assert {"RateLimit", "RateLimit-Policy"} <= set(answers["200"]["headers"])
    assert {"RateLimit", "Retry-After"} <= set(answers["429"]["headers"])


def test_a_public_answer_tells_nobodys_quota() -> None:
    answers = operation_of(views.AllItems.as_view(throttle_classes=[Counted]))["responses"]

    assert "RateLimit" not in answers["200"]["headers"]
    assert "RateLimit" in answers["429"]["headers"]


@override_settings(POLLABLE_RATELIMIT_HEADERS="X-RateLimit")
def test_a_quota_is_told_as_the_settings_say() -> None:
    answers = operation_of(plain(throttle_classes=[Counted]).as_view())["responses"]

    assert set(answers["200"]["headers"]) == {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}


def test_a_throttle_of_rest_framework_tells_no_quota() -> None:
    answers = operation_of(views.Logs.as_view(throttle_classes=[AnonRateThrottle]))["responses"]

    assert "RateLimit" not in answers["200"]["headers"]
    assert set(answers["429"]["headers"]) == {"Retry-After"}


def test_decorators_are_seen_wherever_they_stand() -> None:
    limit, shed = ratelimit(key="ip", rate="5/m"), shed_load(max_concurrent=1)
    function = limit(shed(extend_schema(responses=str)(api_view(["GET"])(answer))))
    decorated = limit(shed(plain()))
    by_name = method_decorator(limit, "dispatch")(plain())
    method = plain()
    method.get = limit(method.get)

    found = [operation_of(view)["responses"].keys() & {"429", "503"} for view in (function, decorated.as_view())]
    assert found == [{"429", "503"}] * 2
    assert all("429" in operation_of(view.as_view())["responses"] for view in (by_name, method))


def test_a_limit_of_other_methods_refuses_none_of_these() -> None:
    view = ratelimit(key="ip", rate="5/m", methods=("POST",))(plain()).as_view()

    assert set(operation_of(view)["responses"]) == {"200"}


def test_what_a_project_says_goes_before() -> None:
    class Described(views.Logs):
        @extend_schema(
            parameters=[
                OpenApiParameter("since", exclude=True),
                OpenApiParameter("If-None-Match", OpenApiTypes.STR, "header", description="Ours."),
            ],
            responses={200: OpenApiTypes.STR, 410: OpenApiTypes.INT},
        )
        def get(self, request: Any) -> Any: ...

    operation = operation_of(Described.as_view())

    assert "since" not in names(operation, "query")
    assert parameter(operation, "If-None-Match")["description"] == "Ours."
    assert operation["responses"]["410"]["content"]["application/json"]["schema"] == {"type": "integer"}
    assert "304" in operation["responses"]


def test_a_projects_own_class_takes_the_mixin() -> None:
    class Own(PollableSchemaMixin, AutoSchema):
        def get_tags(self) -> list[str]:
            return ["own"]

    operation = operation_of(type("Tagged", (views.Logs,), {"schema": Own()}).as_view())

    assert operation["tags"] == ["own"]
    assert "304" in operation["responses"]


def test_a_feed_pages_in_any_schema() -> None:
    """The hooks of REST framework's paginators are there for other generators, too."""
    pagination = SincePagination()

    assert [one["name"] for one in pagination.get_schema_operation_parameters(None)] == ["since", "limit"]
    assert pagination.get_paginated_response_schema({"type": "array"})["properties"]["items"]["type"] == "array"


def test_the_components_are_the_same_each_time() -> None:
    """Hooks of drf-spectacular change what they get."""
    first, second = (schema_of(views.Logs.as_view())["components"] for _ in range(2))

    assert first == second
    assert "ReasonEnum" in first["schemas"]


def test_head_is_described_where_there_is_a_tag() -> None:
    schema = describe_head(schema_of(views.GrowingLog.as_view()), None, None, True)
    head = schema["paths"]["/things/"]["head"]

    assert names(head, "header") == {"If-None-Match", "If-Modified-Since", "If-Match"}
    assert set(head["responses"]) == {"200", "304", "403", "404", "412"}
    assert all("content" not in answer for answer in head["responses"].values())
    assert "head" not in describe_head(schema_of(plain().as_view()), None, None, True)["paths"]["/things/"]
