"""URLs that can be followed, and what makes cursors and tags those of one representation."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.http import HttpRequest, QueryDict
from rest_framework import serializers
from rest_framework.filters import BaseFilterBackend
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.test import APIClient, APIRequestFactory
from rest_framework.versioning import AcceptHeaderVersioning, QueryParameterVersioning

from django_pollable.pagination import AfterIdPagination, SincePagination
from django_pollable.representations import canonical_url, describe_serializer
from tests.factories import ItemFactory, LogFactory, TenantFactory
from tests.shop.models import Item, Part
from tests.shop.views import AllItems, ItemSerializer, Logs, serializer_of

pytestmark = pytest.mark.django_db


def ask(view: Any, query: Any = None, path: str = "/", **headers: str) -> Any:
    return view.as_view()(APIRequestFactory().get(path, query, headers=headers))


def url_of(path: str, query: str = "") -> str:
    request = HttpRequest()
    request.path, request.GET = path, QueryDict(query)
    return canonical_url(Request(request), without=("since",), limit="2")


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/a/", "x=b&since=1&x=a&b=&limit=9", "/a/?b=&limit=2&x=b&x=a"),
        ("/a\n>b/é", "", "/a%0A%3Eb/%C3%A9?limit=2"),
        ("//evil.example/", "", "/%2Fevil.example/?limit=2"),
        ("/a%2Fb/", "q=%26", "/a%252Fb/?limit=2&q=%26"),
    ],
)
def test_a_url_is_canonical_and_can_be_followed(path: str, query: str, expected: str) -> None:
    """P20: values keep their order, names do not."""
    assert url_of(path, query) == expected


def test_a_path_that_no_header_holds_is_escaped(api: APIClient) -> None:
    """P6, P24."""
    tenant = TenantFactory()
    ItemFactory.create_batch(2, tenant=tenant)

    link = api.get(f"/open/{tenant.pk},%0A{tenant.pk}/items/", {"limit": 1})["Link"]

    assert link.startswith(f"</open/{tenant.pk},%0A{tenant.pk}/items/?limit=1&since=v1.")
    assert api.get(re.match("<(.*)>", link)[1]).status_code == 200  # type: ignore[index]


class Renamed(SincePagination):
    since_query_param = "cursor"
    limit_query_param = "n"


class RenamedAfter(AfterIdPagination):
    after_query_param = "after"


def test_a_link_follows_the_names_of_the_paginator() -> None:
    ItemFactory.create_batch(3)
    LogFactory.create_batch(3)
    items: Any = type("Items", (AllItems,), {"pagination_class": Renamed})
    logs: Any = type("Logs", (Logs,), {"pagination_class": RenamedAfter})

    first = ask(items, {"n": "1"})
    link = re.match("<(.*)>", first["Link"])[1]  # type: ignore[index]
    assert ask(items, path=link).data["items"] != first.data["items"]
    assert "after=" not in ask(logs, {"after": "1", "limit": "1"}).get("Link", "")
    gone = ask(items, {"cursor": first.data["next_since"], "other": "1"})
    assert (gone.status_code, gone.data["restart"]) == (410, "/?other=1")


class ByParameters(BaseFilterBackend):
    """Reads what negotiation might have read."""

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        return queryset.filter(name=request.query_params.get("format", request.query_params.get("version", "")))


@pytest.mark.parametrize("name", ["format", "version"])
def test_what_negotiation_does_not_read_is_a_filter(name: str) -> None:
    """P24."""
    view: Any = type("Items", (AllItems,), {"filter_backends": [ByParameters], "renderer_classes": [JSONRenderer]})
    start = ask(view, {name: "json"}).data["next_since"]

    assert ask(view, {name: "json", "since": start}).status_code == 200
    assert ask(view, {"since": start}).data["reason"] == "filter-changed"


def test_what_negotiation_reads_is_none() -> None:
    view: Any = type("Items", (AllItems,), {"renderer_classes": [JSONRenderer, BrowsableAPIRenderer]})
    versioned: Any = type("Items", (AllItems,), {"versioning_class": QueryParameterVersioning})

    start = ask(view, {"format": "json"}).data["next_since"]
    assert ask(view, {"since": start}).status_code == 200
    start = ask(versioned, {"version": "1"}).data["next_since"]
    assert ask(versioned, {"version": "2", "since": start}).data["reason"] == "schema-changed"


def test_a_cursor_is_its_views() -> None:
    """P24: other rows may be hidden there, and other fields shown."""
    one: Any = type("One", (AllItems,), {"__qualname__": "One"})
    two: Any = type("Two", (AllItems,), {"__qualname__": "Two"})
    start = ask(one).data["next_since"]

    assert ask(one, {"since": start}).status_code == 200
    assert ask(two, {"since": start}).data["reason"] == "schema-changed"


def test_vary_names_what_version_and_renderer_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """P19."""

    class Chosen(AllItems):
        def get_renderers(self) -> list[Any]:
            return [JSONRenderer(), BrowsableAPIRenderer()]

    versioned: Any = type("Items", (AllItems,), {"versioning_class": AcceptHeaderVersioning})

    assert not ask(AllItems).has_header("Vary")
    for view in (Chosen, versioned):
        answer = ask(view)
        assert answer["Vary"] == "Accept"
        assert ask(view, **{"If-None-Match": answer["ETag"]})["Vary"] == "Accept"


def serializer(**members: Any) -> Any:
    return type("Items", (serializers.ModelSerializer,), {"__qualname__": "Items", **members})


def meta(**members: Any) -> type:
    return type("Meta", (), {"model": Item, **members})


DIFFERENT = [
    serializer(Meta=meta(fields="__all__")),
    serializer(Meta=meta(fields="__all__", depth=1)),
    serializer(Meta=meta(fields=["id", "name"])),
    serializer(Meta=meta(fields=["id"])),
    serializer(Meta=meta(exclude=["name"])),
    serializer(Meta=meta(fields="__all__", model=Part)),
    serializer(Meta=meta(fields=["id"]), name=serializers.CharField()),
    serializer(Meta=meta(fields=["id"]), name=serializers.CharField(source="code")),
    serializer(Meta=meta(fields=["id"]), name=serializers.IntegerField()),
    serializer(Meta=meta(fields=["id"]), parts=serializer_of(Part)()),
    serializer(Meta=meta(fields=["id"]), parts=serializer_of(Part)(many=True)),
    serializer(Meta=meta(fields=["id"]), parts=serializer_of(Item)(many=True)),
    serializer(Meta=meta(fields=["id"]), parts=serializers.ListField(child=serializers.CharField())),
    type("Items", (serializers.BaseSerializer,), {"__qualname__": "Items"}),
]


def test_serializers_are_told_apart_by_what_they_declare() -> None:
    assert len({describe_serializer(one) for one in DIFFERENT}) == len(DIFFERENT)
    assert describe_serializer(serializer(Meta=meta(fields={"name", "id"}))) == describe_serializer(DIFFERENT[2])


def test_fields_that_depend_on_the_request_do_not_shape_a_serializer() -> None:
    """P20: whatever request came first."""

    class Slim(ItemSerializer):
        def get_fields(self) -> Any:
            raise AssertionError("a fingerprint needs no instance")

    assert describe_serializer(Slim) == describe_serializer(Slim)


def test_parts_of_a_representation_may_be_lists() -> None:
    class Items(AllItems):
        def get_representation(self) -> Any:
            return (*super().get_representation(), ["a"], {"b": 1})

    start = ask(Items).data["next_since"]

    assert ask(Items, {"since": start}).status_code == 200
