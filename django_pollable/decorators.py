"""Rate limits and load shedding for views of every kind."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponseBase
from rest_framework.request import Request
from rest_framework.views import APIView, set_rollback

from django_pollable import limits, overload, throttling
from django_pollable.buckets import Key
from django_pollable.exceptions import TryLater
from django_pollable.limits import Limit
from django_pollable.problems import http_response

__all__ = ["ratelimit", "shed_load"]

View = TypeVar("View", bound=Callable[..., Any])

GUARDED = "pollable.guarded"
"""Where a request's `META` says that it has come to one of these decorators."""


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

    Decorates functions, methods and classes of Django and of REST framework, synchronous or not; a view of
    REST framework counts after authentication, wherever the decorator stands. Several may stand on one view.

    Args:
        key, rate, name, methods, unchanged_cost, ceiling: see `Limit`.
        group: views of one group share their quotas; by default each view has its own.

    Raises:
        ImproperlyConfigured: a value that cannot be.
    """
    limit = Limit(key, rate, name, methods, unchanged_cost, ceiling)

    def decorate(view: View) -> View:
        return _guarded(view, _Counting(limit, group or _name(view)))

    return decorate


def shed_load(*, max_concurrent: int | None = None) -> Callable[[View], View]:
    """
    Answer 503 with `Retry-After` where work would only make things worse.

    That is while an operator holds polls off, while `max_concurrent` requests of the view are under way in
    this process (None: any number), and when the database cannot be reached. Decorates what `ratelimit` does.
    """
    guards: dict[str, _Shedding] = {}

    def decorate(view: View) -> View:
        # `method_decorator` decorates anew for each request.
        return _guarded(view, guards.setdefault(_name(view), _Shedding(max_concurrent)))

    return decorate


class _Guard:
    """What stands around a view: it may refuse a request, and sees the answer."""

    outages: tuple[type[Exception], ...] = ()
    """What the guard makes a 503 of."""

    def statuses(self, method: str) -> set[int]:
        """Return what the guard may answer to a request with `method`."""
        return set()

    def admit(self, request: Any, rest: type[APIView] | None) -> None:
        """
        Ask whether the view may be called; `rest` is the view where it does not know yet who is asking.

        Raises:
            TryLater: not now.
        """

    def begin(self) -> None:
        """
        Take what `end` gives back. Does not wait, so that a client that hangs up cannot come between.

        Raises:
            TryLater: there is nothing to take.
        """

    def finish(self, request: Any, response: HttpResponseBase) -> None:
        """Complete the view's answer."""

    def end(self) -> None:
        """Know that the view is done, however it ended."""


class _Counting(_Guard):
    def __init__(self, limit: Limit, group: str) -> None:
        self.limit, self.group = limit, group

    def statuses(self, method: str) -> set[int]:
        return {429} if self.limit.methods is None or method in self.limit.counted_methods else set()

    def admit(self, request: Any, rest: type[APIView] | None) -> None:
        if rest is not None:
            throttling.demand(request, rest, self.limit, group=self.group)
            return
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

    def statuses(self, method: str) -> set[int]:
        return {503}

    def admit(self, request: Any, rest: type[APIView] | None) -> None:
        overload.refuse_if_paused()

    def begin(self) -> None:
        if not self.traffic.begin(most=self.max_concurrent):
            raise overload.reduced_capacity("Too many requests are under way.")

    def end(self) -> None:
        self.traffic.end()


def guards_of(view: Any) -> tuple[_Guard, ...]:
    """Return what decorators have put around a function or a method, or around the `as_view()` of a class."""
    guards: tuple[_Guard, ...] = getattr(view, "guards", ())
    return guards


def _guarded(view: View, guard: _Guard) -> View:
    if not isinstance(view, type):
        around: Any = (_around_async if iscoroutinefunction(view) else _around)(view, guard)
        around.guards = getattr(view, "cls", around).guards = (*guards_of(view), guard)
        return cast(View, around)
    dispatch = view.dispatch  # type: ignore[attr-defined]
    synchronous, asynchronous = _around(dispatch, guard), _around_async(dispatch, guard)

    @functools.wraps(dispatch)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return (asynchronous if self.view_is_async else synchronous)(self, *args, **kwargs)

    call.guards = (*guards_of(dispatch), guard)  # type: ignore[attr-defined]
    view.dispatch = call  # type: ignore[attr-defined]
    return view


def _around(view: Callable[..., Any], guard: _Guard) -> Callable[..., Any]:
    @functools.wraps(view)
    def call(*args: Any, **kwargs: Any) -> Any:
        request, rest = _request_of(view, args)
        try:
            guard.admit(request, rest)
            guard.begin()
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

    return call


def _around_async(view: Callable[..., Any], guard: _Guard) -> Callable[..., Any]:
    @functools.wraps(view)
    async def call(*args: Any, **kwargs: Any) -> Any:
        request, rest = _request_of(view, args)
        try:
            await sync_to_async(guard.admit)(request, rest)
            guard.begin()
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

    return call


def _outage(error: Exception) -> HttpResponseBase:
    set_rollback()
    return http_response(overload.outage(error))


def _request_of(view: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, type[APIView] | None]:
    """
    Return the request among a view's arguments, and the REST framework view that is going to authenticate it.

    That is known by its `as_view()`, as `self`, or from the bound method that `method_decorator` gives.
    """
    request = next(argument for argument in args[:2] if isinstance(argument, HttpRequest | Request))
    request.META[GUARDED] = True
    if isinstance(request, Request):
        return request, None
    owner = getattr(getattr(view, "func", None), "__self__", None)
    for kind in (getattr(view, "cls", None), type(args[0]), type(owner)):
        if isinstance(kind, type) and issubclass(kind, APIView):
            return request, kind
    return request, None


def _name(view: Callable[..., Any]) -> str:
    return f"{view.__module__}.{getattr(view, '__qualname__', type(view).__qualname__)}"
