"""Checks of views that clients poll."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as Advice
from django.urls import URLPattern, URLResolver, get_resolver

from django_pollable.authentication import PollableTokenAuthentication
from django_pollable.exceptions import NotTracked
from django_pollable.files import RangeMixin
from django_pollable.ledger.options import feed_of
from django_pollable.mixins import PollableListMixin, PollableMixin
from django_pollable.pagination import FeedPagination


@register(Tags.urls)
def check_views(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E020 to E022, W023, W024, E025: a view cannot be polled, or not safely."""
    found: list[CheckMessage] = []
    for view in dict.fromkeys(views_of(get_resolver().url_patterns)):
        found += _check_view(view)
    return found


def _check_view(view: type) -> Iterator[CheckMessage]:
    yield from _check_authentication(view)
    queryset = getattr(view, "queryset", None)
    if _pages_a_feed(view) and not issubclass(view, PollableListMixin):
        yield Error(
            f"'{view.__name__}' pages a feed, but is not a pollable view.",
            hint="Derive it from PollableListMixin.",
            obj=view,
            id="pollable.E020",
        )
    if issubclass(view, RangeMixin):
        yield from _check_sharing(view)
    if not issubclass(view, PollableMixin) or queryset is None:
        return
    try:
        feed = feed_of(queryset.model)
    except NotTracked as error:
        yield Error(f"'{view.__name__}': {error}", obj=view, id="pollable.E021")
        return
    if feed.declaration.scope and view.get_scope is PollableMixin.get_scope:
        yield Error(
            f"'{view.__name__}' must define `get_scope()`: "
            f"{feed.model.__name__} declares scope {feed.declaration.scope}.",
            hint="Return None there to serve the whole feed.",
            obj=view,
            id="pollable.E022",
        )
    yield from _check_sharing(view)
    if queryset.query.where and view.discloses_removed is None:
        yield Advice(
            f"The queryset of '{view.__name__}' hides rows: one that it begins to hide stays with clients.",
            hint="Set `discloses_removed = True` to tell their keys, or False where that is meant; or use a scope.",
            obj=view,
            id="pollable.W024",
        )


def _check_sharing(view: Any) -> Iterator[CheckMessage]:
    if view.cache_policy.is_public and (view.authentication_classes or view.varies_by_user):
        yield Advice(
            f"'{view.__name__}' is cached publicly, but knows its users.",
            hint="Set `authentication_classes = []` and `varies_by_user = False`, or a private policy.",
            obj=view,
            id="pollable.W023",
        )


def _check_authentication(view: type) -> Iterator[CheckMessage]:
    for authenticator in getattr(view, "authentication_classes", ()):
        if issubclass(authenticator, PollableTokenAuthentication) and authenticator().get_model()._meta.abstract:
            yield Error(
                f"'{view.__name__}' asks for tokens, but there is no table of them.",
                hint="Add 'rest_framework.authtoken' to INSTALLED_APPS, or give the authenticator a `model`.",
                obj=view,
                id="pollable.E025",
            )


def views_of(patterns: Iterable[Any]) -> Iterator[type]:
    """Yield the classes of class-based views among URL patterns, as often as they occur."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from views_of(pattern.url_patterns)
        elif isinstance(pattern, URLPattern):
            view = getattr(pattern.callback, "cls", None) or getattr(pattern.callback, "view_class", None)
            if view is not None:
                yield view


def _pages_a_feed(view: type) -> bool:
    paginator = getattr(view, "pagination_class", None)
    return isinstance(paginator, type) and issubclass(paginator, FeedPagination)
