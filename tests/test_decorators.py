"""Rate limits and load shedding on every kind of view."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import iscoroutinefunction
from django.contrib.auth.models import AnonymousUser, User
from django.core.cache import cache
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import AsyncRequestFactory, RequestFactory
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from rest_framework.authentication import TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.decorators import action, api_view, authentication_classes
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from django_pollable import overload
from django_pollable.decorators import ratelimit, shed_load
from tests.shop.views import Logs

requests = RequestFactory()
twice = ratelimit(key="ip", rate="2/h")


@pytest.fixture(autouse=True)
def _empty_cache() -> Any:
    cache.clear()
    yield
    cache.clear()


def ask(view: Any, times: int = 1, **meta: Any) -> list[int]:
    return [view(requests.get("/", **meta)).status_code for _ in range(times)]


@twice
def function(request: HttpRequest) -> HttpResponse:
    """A view."""
    return HttpResponse()


@twice
class ClassBased(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


class MethodBased(View):
    @method_decorator(twice)
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


@twice
class Rest(APIView):
    def get(self, request: Any) -> Response:
        return Response()


@twice
@api_view(["GET"])
def rest_function(request: Any) -> Response:
    return Response()


@api_view(["GET"])
@twice
def rest_function_inside(request: Any) -> Response:
    return Response()


class Set(ViewSet):
    @action(detail=False)
    @twice
    def some(self, request: Any) -> Response:
        return Response()

    def list(self, request: Any) -> Response:
        return Response()


class Plain(APIView):
    def get(self, request: Any) -> Response:
        return Response()


@method_decorator(twice, name="dispatch")
class DispatchBased(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


@method_decorator(twice, name="dispatch")
class RestDispatch(Plain):
    pass


VIEWS = [
    function,
    ClassBased.as_view(),
    MethodBased.as_view(),
    Rest.as_view(),
    rest_function,
    rest_function_inside,
    Set.as_view({"get": "some"}),
    twice(Set.as_view({"get": "list"})),
    twice(MethodBased.as_view()),
    twice(never_cache(Plain.as_view())),
    DispatchBased.as_view(),
    RestDispatch.as_view(),
]


@pytest.mark.parametrize("view", VIEWS)
def test_views_of_every_kind_can_be_limited(view: Any) -> None:
    answers = [view(requests.get("/")) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0]["RateLimit"].startswith('"2-in-3600";r=1;t=')
    assert "no-store" in answers[2]["Cache-Control"]
    assert int(answers[2]["Retry-After"]) >= 1
    if not answers[2].is_rendered if hasattr(answers[2], "is_rendered") else False:
        answers[2].render()
    assert answers[2]["Content-Type"] == "application/problem+json"


def test_a_limited_view_keeps_its_name_and_the_class_that_was_not_decorated_its_freedom() -> None:
    assert (function.__name__, function.__doc__) == ("function", "A view.")
    assert ask(Set.as_view({"get": "list"}), 5) == [200] * 5


hourly = ratelimit(key="user", rate="1/h")


class WithTokens(APIView):
    authentication_classes = [TokenAuthentication]
    throttle_classes = []

    def get(self, request: Any) -> Response:
        return Response()


@hourly
@api_view(["GET"])
@authentication_classes([TokenAuthentication])
def with_tokens(request: Any) -> Response:
    return Response()


@hourly
class Decorated(WithTokens):
    pass


class Inheriting(Decorated):
    """Has other throttles than the class that was decorated."""

    throttle_classes = []


@method_decorator(hourly, name="dispatch")
class OnDispatch(WithTokens):
    pass


@pytest.mark.django_db
@pytest.mark.parametrize(
    "view",
    [
        with_tokens,
        hourly(WithTokens.as_view()),
        hourly(never_cache(shed_load()(WithTokens.as_view()))),
        Decorated.as_view(),
        Decorated.as_view(throttle_classes=[]),
        Inheriting.as_view(),
        OnDispatch.as_view(),
    ],
)
def test_a_limit_around_a_rest_framework_view_knows_its_users(view: Any) -> None:
    for name in ("one", "two"):
        Token.objects.create(user=User.objects.create_user(name), key=name)

    assert ask(view, 2, headers={"Authorization": "Token one"}) == [200, 429]
    assert ask(view, 2, headers={"Authorization": "Token two"}) == [200, 429]


def test_decorators_between_a_limit_and_a_view_stay() -> None:
    view = hourly(never_cache(WithTokens.as_view()))

    assert "no-cache" in view(requests.get("/"))["Cache-Control"]


@pytest.mark.django_db
def test_a_304_of_any_rest_framework_view_can_be_free() -> None:
    @ratelimit(key="user", rate="1/h", unchanged_cost=0)
    @api_view(["GET"])
    @authentication_classes([TokenAuthentication])
    def view(request: Any) -> Response:
        return Response(status=304)

    Token.objects.create(user=User.objects.create_user("one"), key="one")

    assert ask(view, 5, headers={"Authorization": "Token one"}) == [304] * 5
    assert ask(view, 2) == [304, 429]


def test_several_limits_can_stand_on_one_view() -> None:
    @ratelimit(key="ip", rate="3/h", name="hour")
    @ratelimit(key="ip", rate="2/m", name="minute")
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    first = view(requests.get("/"))

    assert {part.split(";")[0] for part in first["RateLimit"].split(", ")} == {'"hour"', '"minute"'}
    assert ask(view, 3) == [200, 429, 429]


def test_views_of_a_group_share_their_quota() -> None:
    shared = ratelimit(key="ip", rate="1/h", group="shared")
    one, other = (shared(lambda _request: HttpResponse()) for _ in range(2))

    assert ask(one) + ask(other) == [200, 429]


def test_a_304_can_be_free() -> None:
    @ratelimit(key="user", rate="1/h", unchanged_cost=0)
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(status=304)

    def poll() -> int:
        request = requests.get("/")
        request.user = User(pk=1)
        return view(request).status_code

    assert [poll() for _ in range(5)] == [304] * 5


def test_a_public_answer_tells_nobodys_quota() -> None:
    @twice
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(headers={"Cache-Control": "public, max-age=1"})

    assert not view(requests.get("/")).has_header("RateLimit")


@twice
async def coroutine(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@twice
class AsyncView(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


class AsyncMethod(View):
    @method_decorator(twice)
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


@twice
class Bare(View):
    """Has no handler of its own to tell whether it is asynchronous."""


class AsyncHeir(Bare):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


class UndecoratedAsync(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


@pytest.mark.parametrize(
    "view",
    [coroutine, AsyncView.as_view(), AsyncMethod.as_view(), AsyncHeir.as_view(), twice(UndecoratedAsync.as_view())],
)
def test_async_views_stay_async(view: Any) -> None:
    async def ask_often() -> list[int]:
        return [(await view(AsyncRequestFactory().get("/"))).status_code for _ in range(3)]

    assert iscoroutinefunction(view)
    assert asyncio.run(ask_often()) == [200, 200, 429]


def test_a_view_that_is_full_refuses() -> None:
    entered, leave = threading.Event(), threading.Event()

    @shed_load(max_concurrent=1)
    def view(request: HttpRequest) -> HttpResponse:
        entered.set()
        leave.wait(10)
        return HttpResponse()

    thread = threading.Thread(target=ask, args=[view])
    thread.start()
    entered.wait(10)
    refused = view(requests.get("/"))
    leave.set()
    thread.join()

    assert (refused.status_code, refused["Content-Type"]) == (503, "application/problem+json")
    assert int(refused["Retry-After"]) >= 1
    assert ask(view) == [200]


def test_a_view_decorated_by_its_method_can_be_full() -> None:
    """`method_decorator` decorates anew for each request."""

    class Full(View):
        depth = 0

        @method_decorator(shed_load(max_concurrent=1))
        def get(self, request: HttpRequest) -> HttpResponse:
            return again(request)

    again = Full.as_view()

    assert ask(again) == [503]
    assert ask(again) == [503]


def test_a_client_that_hangs_up_leaves_its_place() -> None:
    @shed_load(max_concurrent=1)
    async def view(request: HttpRequest) -> HttpResponse:
        await asyncio.sleep(60 if request.GET else 0)
        return HttpResponse()

    async def hang_up(delay: float) -> None:
        task = asyncio.ensure_future(view(requests.get("/?slow")))
        await asyncio.sleep(delay)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def scenario() -> int:
        for delay in (0, 0.0001, 0.001, 0.05):
            await hang_up(delay)
        return int((await view(requests.get("/"))).status_code)

    assert asyncio.run(scenario()) == 200


def test_a_database_that_cannot_be_reached_is_reduced_capacity(caplog: pytest.LogCaptureFixture) -> None:
    @shed_load()
    def view(request: HttpRequest) -> HttpResponse:
        raise OperationalError("connection refused")

    @shed_load()
    async def coroutine(request: HttpRequest) -> HttpResponse:
        raise OperationalError("connection refused")

    assert ask(view) == [503]
    assert asyncio.run(coroutine(requests.get("/"))).status_code == 503
    assert "connection refused" in caplog.text


@pytest.mark.parametrize("error", [OperationalError(1054, "Unknown column"), ValueError("bug")])
def test_a_bug_stays_a_bug(error: Exception) -> None:
    @shed_load()
    def view(request: HttpRequest) -> HttpResponse:
        raise error

    @shed_load()
    async def coroutine(request: HttpRequest) -> HttpResponse:
        raise error

    with pytest.raises(type(error)):
        ask(view)
    with pytest.raises(type(error)):
        asyncio.run(coroutine(requests.get("/")))


@pytest.mark.django_db
def test_an_operator_holds_polls_off() -> None:
    @shed_load()
    async def coroutine(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    overload.pause(None)

    paused = Logs.as_view()(requests.get("/"))
    assert (paused.status_code, paused.data["detail"]) == (503, "Polling is paused.")
    assert Logs.as_view()(requests.post("/")).status_code == 405
    assert asyncio.run(coroutine(requests.get("/"))).status_code == 503


def test_a_rest_framework_class_can_shed_load() -> None:
    @shed_load()
    class Broken(APIView):
        def get(self, request: Any) -> Response:
            raise OperationalError("gone")

    request = requests.get("/")
    request.user = AnonymousUser()

    assert Broken.as_view()(request).status_code == 503
