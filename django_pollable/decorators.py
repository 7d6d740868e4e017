"""Rate limits and load shedding for views of every kind."""

from __future__ import annotations

import functools
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any, TypeVar, cast

from asgiref.sync import sync_to_async
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponseBase
from rest_framework.request import Request
from rest_framework.views import APIView, set_rollback

from django_pollable import limits, overload
from django_pollable.exceptions import TryLater
from django_pollable.limits import Key, Limit
from django_pollable.problems import http_response
from django_pollable.throttling import LimitThrottle

View = TypeVar("View", bound=Callable[..., Any])


def ratelimit(
    *,
    key: Key,
    rate: str,
    name: str = "",
    methods: tuple[str, ...] | None = None,
    group: str | None = None,
    unchanged_cost: float = 1.0,
    ceiling: int | None = None,
) -> Callable[[View], View]:
    """
    Limit how often each client may call a view; above it the answer is 429 with `Retry-After`.

    Decorates functions, methods and classes of Django and of REST framework, synchronous or not. On a
    class or a view function of REST framework it counts after authentication. Several may stand on one view.

    Args:
        key, rate, name, methods, unchanged_cost, ceiling: see `Limit`.
        group: views of one group share their quotas; by default each view has its own.

    Raises:
        ImproperlyConfigured: a value that cannot be.
    """
    limit = Limit(key, rate, name, methods, unchanged_cost, ceiling)

    def decorate(view: View) -> View:
        counting = _Counting(limit, group or f"{view.__module__}.{view.__qualname__}")
        rest = view if isinstance(view, type) else getattr(view, "cls", None)
        if rest is not None and issubclass(rest, APIView):
            return cast(View, _throttled(view, rest, counting))
        return _guarded(view, counting)

    return decorate


def shed_load(*, max_concurrent: int | None = None) -> Callable[[View], View]:
    """
    Answer 503 with `Retry-After` where work would only make things worse.

    That is while an operator holds polls off, while `max_concurrent` requests of the view are under way in
    this process (None: any number), and when the database cannot be reached. Decorates what `ratelimit` does.
    """

    def decorate(view: View) -> View:
        return _guarded(view, _Shedding(max_concurrent))

    return decorate


class _Guard:
    """What stands around a view: it may refuse a request, and sees the answer."""

    outages: tuple[type[Exception], ...] = ()
    """What the guard makes a 503 of."""

    def begin(self, request: Any) -> None:
        """
        Raises:
            TryLater: the view must not be called now.
        """

    def finish(self, request: Any, response: HttpResponseBase) -> None:
        """Complete the view's answer."""

    def end(self) -> None:
        """Know that the view is done, however it ended."""


class _Counting(_Guard):
    def __init__(self, limit: Limit, group: str) -> None:
        self.limit, self.group = limit, group

    def begin(self, request: Any) -> None:
        error = limits.excess(limits.count(request, [self.limit], group=self.group))
        if error:
            raise error

    def finish(self, request: Any, response: HttpResponseBase) -> None:
        if "public" not in response.headers.get("Cache-Control", ""):
            for name, value in limits.fields(limits.usages_of(request)).items():
                response.headers[name] = value
        if response.status_code == 304:
            limits.forgive_unchanged(request)


class _Shedding(_Guard):
    outages = (OperationalError, InterfaceError)

    def __init__(self, max_concurrent: int | None) -> None:
        self.max_concurrent = max_concurrent
        self.traffic = overload.Traffic()

    def begin(self, request: Any) -> None:
        overload.refuse_if_paused()
        if not self.traffic.begin(most=self.max_concurrent):
            raise overload.reduced_capacity("Too many requests are under way.")

    def end(self) -> None:
        self.traffic.end()


def _guarded(view: View, guard: _Guard) -> View:
    if not isinstance(view, type):
        return cast(View, _around(view, guard, is_async=iscoroutinefunction(view)))
    view.dispatch = _around(view.dispatch, guard, is_async=getattr(view, "view_is_async", False))  # type: ignore[attr-defined]
    return view


def _around(view: Callable[..., Any], guard: _Guard, *, is_async: bool) -> Callable[..., Any]:
    @functools.wraps(view)
    def call(*args: Any, **kwargs: Any) -> Any:
        request = _request_of(args)
        try:
            guard.begin(request)
        except TryLater as error:
            return http_response(error)
        try:
            response = view(*args, **kwargs)
        except guard.outages as error:
            if not overload.is_outage(error):
                raise
            return _outage(error)
        finally:
            guard.end()
        guard.finish(request, response)
        return response

    @functools.wraps(view)
    async def call_async(*args: Any, **kwargs: Any) -> Any:
        request = _request_of(args)
        try:
            await sync_to_async(guard.begin)(request)
        except TryLater as error:
            return http_response(error)
        try:
            response = await view(*args, **kwargs)
        except guard.outages as error:
            if not overload.is_outage(error):
                raise
            return _outage(error)
        finally:
            guard.end()
        await sync_to_async(guard.finish)(request, response)
        return response

    return call_async if is_async else call


def _outage(error: Exception) -> HttpResponseBase:
    set_rollback()
    return http_response(overload.outage(error))


def _request_of(args: tuple[Any, ...]) -> Any:
    """Return the request among a function's or a method's arguments."""
    return next(argument for argument in args[:2] if isinstance(argument, HttpRequest | Request))


def _throttled(view: Any, rest: type[APIView], counting: _Counting) -> Any:
    """Return a REST framework class, or what its `as_view()` gave, with one more throttle."""

    class RateLimit(LimitThrottle):
        def get_limits(self, request: Request, view: Any) -> list[Limit]:
            return [counting.limit]

        def get_group(self, view: Any) -> str:
            return counting.group

    throttles = [*rest.throttle_classes, RateLimit]
    if view is rest:
        rest.throttle_classes = throttles
        return rest
    limited = type(rest.__name__, (rest,), {"__module__": rest.__module__, "throttle_classes": throttles})
    actions = [view.actions] if hasattr(view, "actions") else []
    return limited.as_view(*actions, **view.initkwargs)  # type: ignore[attr-defined]
