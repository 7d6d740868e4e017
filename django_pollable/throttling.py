"""Throttles for REST framework views over the quotas of `limits`."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle

from django_pollable import limits
from django_pollable.buckets import Key
from django_pollable.exceptions import ReducedCapacity, TryLater
from django_pollable.limits import Limit
from django_pollable.problems import MEDIA_TYPE, ProblemRenderer, Refused
from django_pollable.signals import poll_answered

__all__ = ["LimitThrottle", "PollableThrottle"]

if TYPE_CHECKING:  # views import the classes that DEFAULT_THROTTLE_CLASSES names
    from rest_framework.views import APIView

_DEMANDED = "pollable.limits"
"""Where a request's `META` keeps limits of decorators around the view."""


class LimitThrottle(BaseThrottle):
    """What counts a request after authentication and permission; a refusal is problem details with `Retry-After`."""

    def get_limits(self, request: Request, view: Any) -> Sequence[Limit]:
        """Return the limits that count the request."""
        raise TypeError(f"{type(self).__name__} must define `get_limits()`.")

    def get_group(self, view: Any) -> str:
        """Return the name of what is limited: views of one group share their quotas."""
        return f"{type(view).__module__}.{type(view).__qualname__}"

    def allow_request(self, request: Request, view: Any) -> bool:
        """
        Count the request.

        Raises:
            Refused: it is one too many, or it cannot be counted.
        """
        enforce(request, view, self.get_limits(request, view), group=self.get_group(view))
        return True


class PollableThrottle(LimitThrottle):
    """
    The rates of REST framework's own `DEFAULT_THROTTLE_RATES`, by scope; views of one scope share them.

    Attributes:
        key: what names a client: `user`, `token`, `ip`, or a function of the request (a static method).
        scope: the rate's name; by default the view's `throttle_scope`. A view without one is not limited.
        unchanged_cost: what a 304 of a pollable view for an authenticated client counts, from 0 to 1.
        ceiling: how many requests pass in a window whatever they count; ten quotas by default.

    A rate is `100/m`, or several of which each must hold: `("10/s", "1000/h")`.
    """

    key: ClassVar[Key] = "user"
    scope: ClassVar[str | None] = None
    unchanged_cost: ClassVar[float] = 1.0
    ceiling: ClassVar[int | None] = None

    def get_limits(self, request: Request, view: Any) -> Sequence[Limit]:
        return self.get_rates(view)

    def get_rates(self, view: Any) -> Sequence[Limit]:
        """
        Return the limits of the view's scope; `view` may be its class.

        Raises:
            ImproperlyConfigured: the scope has no rate, or one that cannot be.
        """
        scope = self._scope(view)
        if scope is None:
            return ()
        try:
            rates: Any = api_settings.DEFAULT_THROTTLE_RATES[scope]
        except KeyError:
            raise ImproperlyConfigured(f"DEFAULT_THROTTLE_RATES has no rate for the scope '{scope}'.") from None
        if rates is None:
            return ()
        return [
            Limit(type(self).key, rate, unchanged_cost=self.unchanged_cost, ceiling=self.ceiling)
            for rate in ([rates] if isinstance(rates, str) else rates)
        ]

    def get_group(self, view: Any) -> str:
        return f"scope:{self._scope(view)}"

    def _scope(self, view: Any) -> str | None:
        scope: str | None = self.scope or getattr(view, "throttle_scope", None)
        return scope


def enforce(request: Request, view: Any, quotas: Sequence[Limit], *, group: str) -> None:
    """
    Count an authenticated request, and tell the quotas unless the view's answers are for all.

    Raises:
        Refused: it is one too many, or it cannot be counted.
    """
    try:
        usages = limits.count(request, quotas, group=group)
    except ReducedCapacity as failure:
        raise _refused(failure, request, view) from None
    error = limits.excess(usages)
    if error:
        raise _refused(error, request, view)
    policy = getattr(view, "cache_policy", None)
    if policy is None or not policy.is_public:
        view.headers.update(limits.fields(usages))


def demand(request: HttpRequest, view: type[APIView], limit: Limit, *, group: str) -> None:
    """Let `view` count a request of Django's when it has found out who is asking: with its own throttles."""
    request.META.setdefault(_DEMANDED, []).append((limit, group))
    check_throttles = view.check_throttles
    if getattr(check_throttles, "counts_demanded", False):
        return

    @functools.wraps(check_throttles)
    def check(self: APIView, request: Request) -> None:
        check_throttles(self, request)
        for limit, group in request.META.pop(_DEMANDED, ()):
            enforce(request, self, [limit], group=group)

    check.counts_demanded = True  # type: ignore[attr-defined]
    view.check_throttles = check  # type: ignore[method-assign]


def _refused(error: TryLater, request: Request, view: Any) -> Refused:
    """Return what to raise; the answer is problem details whatever the client accepts, and nobody stores it."""
    view.headers.update(error.headers | {"Cache-Control": "no-store"})
    request.accepted_renderer, request.accepted_media_type = ProblemRenderer(), MEDIA_TYPE
    return Refused(error)


def _forgive(sender: type, *, request: Any, response: Any, **kwargs: Any) -> None:
    if response.status_code == 304:
        limits.forgive_unchanged(request)


poll_answered.connect(_forgive, dispatch_uid="pollable.throttling")
