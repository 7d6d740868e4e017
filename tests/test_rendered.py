"""Pages of bytes: who renders, who waits, and which answers are shared at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.cache import caches
from django.test import override_settings
from django.urls import include, path
from django.utils import timezone
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.response import Response
from rest_framework.test import APIClient

from django_pollable.conf import conf
from django_pollable.rendered import PAUSES, PageOfBytes, RenderedPage, rendered_once
from tests.factories import ItemFactory
from tests.services import Redis
from tests.shop.models import Item, Tenant
from tests.shop.views import ItemSerializer, OpenItems


class CountingSerializer(ItemSerializer):
    """Counts the rows that it shows."""

    rows = 0

    def to_representation(self, instance: Item) -> Any:
        CountingSerializer.rows += 1
        return super().to_representation(instance)


class Counted(OpenItems):
    serializer_class = CountingSerializer


class ByUser(Counted):
    varies_by_user = True


class ByHost(Counted):
    class serializer_class(CountingSerializer):  # noqa: N801
        def to_representation(self, instance: Item) -> Any:
            return {"url": self.context["request"].build_absolute_uri("/")}


class ForPeople(Counted):
    renderer_classes = [JSONRenderer, BrowsableAPIRenderer]


class Changed(Counted):
    def list(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        response: Any = super().list(request, *args, **kwargs)
        response.data["more"] = True
        return response


urlpatterns = [
    path("counted/<tenants>/", Counted.as_view()),
    path("by-user/<tenants>/", ByUser.as_view()),
    path("by-host/<tenants>/", ByHost.as_view()),
    path("for-people/<tenants>/", ForPeople.as_view()),
    path("changed/<tenants>/", Changed.as_view()),
    path("", include("tests.urls")),
]
pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db(transaction=True)]
PAGE = RenderedPage(b"page", "text/plain", 'W/"tag"', None)


@pytest.fixture(params=["process", "redis"])
def shared(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param == "process":
        yield
        return
    redis = request.getfixturevalue("redis")
    with override_settings(CACHES={"default": redis.cache}):
        yield
        caches["default"].close()


@pytest.fixture
def tenant() -> Tenant:
    CountingSerializer.rows = 0
    return ItemFactory().tenant


class Renderer:
    """Renders slowly, and counts how often."""

    def __init__(self, page: RenderedPage = PAGE) -> None:
        self.count = 0
        self._page = page
        self._lock = threading.Lock()

    def __call__(self) -> RenderedPage:
        with self._lock:
            self.count += 1
        time.sleep(0.05)
        return self._page


def test_of_many_requests_one_renders(shared: None) -> None:
    renderer, is_awaited = Renderer(), threading.Event()

    def render() -> RenderedPage:
        assert is_awaited.wait(30)
        return renderer()

    def wait(seconds: float) -> None:
        is_awaited.set()
        time.sleep(seconds)

    with ThreadPoolExecutor(16) as pool:
        asked = pool.map(lambda _: rendered_once("name", render, sleep=wait), range(64))
        pages, outcomes = zip(*asked, strict=True)

    assert pages == (PAGE,) * 64
    assert renderer.count == outcomes.count("rendered") == 1
    assert {"rendered", "waited"} <= {*outcomes} <= {"rendered", "waited", "hit"}


def test_another_project_in_the_same_cache_has_pages_of_its_own(shared: None) -> None:
    rendered_once("name", Renderer())
    theirs = RenderedPage(b"theirs", "text/plain", 'W/"tag"', None)

    with override_settings(SECRET_KEY="another project's"):
        assert rendered_once("name", lambda: theirs)[0] == theirs


def test_a_renderer_that_does_not_come_back_is_not_waited_for_any_longer(shared: None) -> None:
    caches["default"].add(f"pollable:{conf.namespace}:page:1:name:rendering", True, 60)
    waited: list[float] = []

    assert rendered_once("name", Renderer(), sleep=waited.append)[0] == PAGE
    assert tuple(waited) == PAUSES


def test_a_renderer_that_fails_leaves_it_to_the_next(shared: None) -> None:
    def fail() -> RenderedPage:
        raise LookupError

    with pytest.raises(LookupError):
        rendered_once("name", fail)

    assert rendered_once("name", Renderer(), sleep=pytest.fail)[0] == PAGE


@override_settings(POLLABLE_PAGE_CACHE_MAX_BYTES=3)
def test_a_page_that_is_too_large_is_rendered_each_time_without_waiting(shared: None) -> None:
    render = Renderer()

    assert [rendered_once("name", render, sleep=pytest.fail) for _ in range(3)] == [(PAGE, "too-large")] * 3
    assert render.count == 3


@override_settings(POLLABLE_PAGE_CACHE_MAX_BYTES=3)
def test_who_waits_for_a_page_that_is_too_large_renders_as_soon_as_that_is_known() -> None:
    render = Renderer()

    with ThreadPoolExecutor(4) as pool:
        pages = list(pool.map(lambda _: rendered_once("name", render), range(4)))

    assert pages == [(PAGE, "too-large")] * 4


@override_settings(
    POLLABLE_PAGE_CACHE_MAX_BYTES=3, CACHES={"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
)
def test_without_a_cache_each_request_renders() -> None:
    render = Renderer()

    assert [rendered_once("name", render, sleep=pytest.fail) for _ in range(2)] == [(PAGE, "too-large")] * 2


def test_a_cache_that_is_down_is_a_slower_answer(redis: Redis) -> None:
    redis.stop()
    render = Renderer()

    with override_settings(CACHES={"default": redis.cache}):
        assert [rendered_once("name", render, sleep=pytest.fail) for _ in range(3)] == [(PAGE, "cache-down")] * 3

    assert render.count == 3


def test_a_cache_that_hangs_is_waited_for_once_in_a_while(redis: Redis) -> None:
    timeouts = {"socket_timeout": 0.3, "socket_connect_timeout": 0.3}
    redis.hang()
    began_at = time.monotonic()

    with override_settings(CACHES={"default": {**redis.cache, "OPTIONS": timeouts}}):
        assert [rendered_once("name", lambda: PAGE, sleep=pytest.fail) for _ in range(100)] == [
            (PAGE, "cache-down")
        ] * 100

    assert time.monotonic() - began_at < 10


@pytest.mark.usefixtures("shared")
def test_a_page_is_rendered_once_and_given_to_all(api: APIClient, tenant: Tenant) -> None:
    first, second = (api.get(f"/counted/{tenant.pk}/") for _ in range(2))

    assert isinstance(second, PageOfBytes)
    assert CountingSerializer.rows == 1
    assert second.content == first.content
    first["Last-Modified"] = second["Last-Modified"] = "only once its second is over"
    assert {**second.headers} == {**first.headers}


def test_a_change_makes_another_page(api: APIClient, tenant: Tenant) -> None:
    first = api.get(f"/counted/{tenant.pk}/")
    Item.objects.update(name="changed")

    second = api.get(f"/counted/{tenant.pk}/")

    assert second["ETag"] != first["ETag"]
    assert second.json()["items"][0]["name"] == "changed"


def test_a_shared_page_says_where_the_next_one_is(api: APIClient, tenant: Tenant) -> None:
    ItemFactory.create_batch(3, tenant=tenant)
    url = f"/counted/{tenant.pk}/"

    first, second = (api.get(url, {"limit": 2}) for _ in range(2))

    assert second["Link"] == first["Link"]
    assert second["Link"].startswith(f"<{url}?limit=2&since=")
    assert CountingSerializer.rows == 2


def test_a_head_shares_the_page_and_has_no_body(api: APIClient, tenant: Tenant) -> None:
    page = api.get(f"/counted/{tenant.pk}/")

    head = api.head(f"/counted/{tenant.pk}/")

    assert head.content == b""
    assert head["ETag"] == page["ETag"]


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ({"limit": 1}, {}),
        ({"status": "new"}, {}),
        ({}, {"accept": "application/json; indent=4"}),
        ({}, {"host": "other.example"}),
    ],
)
def test_what_shapes_the_bytes_names_the_page(
    api: APIClient, tenant: Tenant, query: dict[str, Any], headers: dict[str, str]
) -> None:
    url = f"/counted/{tenant.pk}/"
    api.get(url)

    other = api.get(url, query, headers=headers)
    with override_settings(POLLABLE_PAGE_CACHE_SECONDS=0):
        rendered = api.get(url, query, headers=headers)

    assert other.content == rendered.content
    assert CountingSerializer.rows == 3


def test_links_with_a_host_are_that_host_s_own(api: APIClient, tenant: Tenant) -> None:
    hosts = [
        api.get(f"/by-host/{tenant.pk}/", headers={"host": host}).json()["items"] for host in ("a.example", "b.example")
    ]

    assert hosts == [[{"url": "http://a.example/"}], [{"url": "http://b.example/"}]]


def test_a_time_zone_has_pages_of_its_own(api: APIClient, tenant: Tenant) -> None:
    tags = []
    for zone in ("UTC", "Europe/Vienna"):
        with timezone.override(zone):
            tags.append(api.get(f"/counted/{tenant.pk}/")["ETag"])

    assert tags[0] != tags[1]
    assert CountingSerializer.rows == 2


def test_a_page_in_pieces_is_kept_in_no_place(api: APIClient, tenant: Tenant) -> None:
    """What only some may see, what people read, and what a project changes afterwards is rendered for each."""
    for name in ("by-user", "for-people", "changed"):
        accept = "text/html" if name == "for-people" else "application/json"
        CountingSerializer.rows = 0
        answers = [api.get(f"/{name}/{tenant.pk}/", headers={"accept": accept}) for _ in range(2)]

        assert [type(answer) for answer in answers] == [Response, Response]
        assert CountingSerializer.rows >= 2


@override_settings(POLLABLE_PAGE_CACHE_SECONDS=0)
def test_a_project_may_do_without(api: APIClient, tenant: Tenant) -> None:
    for _ in range(2):
        assert api.get(f"/counted/{tenant.pk}/").status_code == 200

    assert CountingSerializer.rows == 2


def test_a_filter_that_is_refused_is_refused_to_the_second_client_too(api: APIClient, tenant: Tenant) -> None:
    statuses = [api.get(f"/counted/{tenant.pk}/", {"status": "nonsense"}).status_code for _ in range(2)]

    assert statuses == [200, 200] or statuses == [400, 400]


@pytest.mark.django_db(transaction=False)
def test_a_transaction_shares_nothing(api: APIClient) -> None:
    tenant = ItemFactory().tenant
    CountingSerializer.rows = 0

    for _ in range(2):
        api.get(f"/counted/{tenant.pk}/")

    assert CountingSerializer.rows == 2
