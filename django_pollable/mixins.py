"""What makes a REST framework view pollable: a list, and a single resource."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, ClassVar

from django.core.exceptions import TooManyFieldsSent
from django.db import connections
from django.db.models import QuerySet
from django.http import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.timezone import get_current_timezone
from django.utils.translation import get_language
from rest_framework import mixins
from rest_framework.exceptions import ParseError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer, BrowsableAPIRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import set_rollback

from django_pollable import filtering, overload, problems, rendered
from django_pollable.caching import CachePolicy
from django_pollable.conditional import NotModified, Validators, names_a_tag, weak_etag
from django_pollable.conf import conf
from django_pollable.cursors import Binding, Cursor, fingerprint, fingerprint_once
from django_pollable.exceptions import PollError
from django_pollable.heads import Place, check_reached, head_of
from django_pollable.ledger.changes import ChangeLog
from django_pollable.ledger.state import FeedState
from django_pollable.ledger.versions import Version, version_at
from django_pollable.negotiation import RememberedNegotiation
from django_pollable.pacing import AdaptiveInterval, Circumstances
from django_pollable.pages import Query, Rows
from django_pollable.pagination import FeedPagination, SincePagination
from django_pollable.representations import (
    canonical_url,
    describe_filters,
    describe_serializer,
    describe_user,
    varies_of,
)
from django_pollable.scopes import ScopedMixin
from django_pollable.signals import poll_answered

GZIP = "django.middleware.gzip.GZipMiddleware"
SAFE = ("GET", "HEAD")


class PollableMixin(ScopedMixin):
    """
    What the list and the single resource share: validators, headers and problems.

    Attributes:
        cache_policy: what `Cache-Control` says; `CachePolicy.private()` by default.
        varies_by_user: False where all users get the same bytes.
        representation_version: change it when the serializer's output changes its meaning.
        poll_interval_seconds: the pace that `X-Poll-Interval` names; None for the setting. A function of
            `Circumstances`, as an `AdaptiveInterval` is, is asked for each answer.
        discloses_removed: True where clients may learn the keys of rows that a rule hides inside their scope:
            `get_queryset()`, or a filter backend whatever the query parameters are. Otherwise a row that a
            rule begins to hide stays with the client; what only the client's own filter hides is always told.
    """

    cache_policy: ClassVar[CachePolicy] = CachePolicy.private()
    varies_by_user: ClassVar[bool] = True
    representation_version: ClassVar[str] = ""
    poll_interval_seconds: ClassVar[float | AdaptiveInterval | Callable[[Circumstances], float] | None] = None
    discloses_removed: ClassVar[bool | None] = None

    def get_poll_interval_seconds(self, state: FeedState) -> float:
        """Return what `X-Poll-Interval` says (seconds)."""
        interval = type(self).poll_interval_seconds
        if callable(interval):
            return interval(Circumstances(overload.polls.load, state.quiet_seconds))
        return conf.poll_interval_seconds if interval is None else interval

    def get_representation(self) -> tuple[Any, ...]:
        """Return what shapes the items besides their rows: a change of it expires cursors."""
        return (
            describe_serializer(self.get_serializer_class()),
            self.representation_version,
            get_language(),
            self.request.version,
        )

    def perform_authentication(self, request: Request) -> None:
        """Find out who asks; where a view has no authenticators, only when somebody wants to know."""
        if request.authenticators:
            super().perform_authentication(request)

    def get_content_negotiator(self) -> Any:
        """Return the view's negotiator; REST framework's own with a memory."""
        own = self.content_negotiation_class is DefaultContentNegotiation
        return RememberedNegotiation() if own else super().get_content_negotiator()

    def get_variant(self, interval: float) -> tuple[Any, ...]:
        """
        Return what shapes an answer besides its cursor: it is part of every tag.

        So is the interval (seconds) where caches share the answer, so that none freezes it; a client of
        its own reads it from each 304.
        """
        renderer: BaseRenderer = self.request.accepted_renderer
        shows_user = self.varies_by_user or isinstance(renderer, BrowsableAPIRenderer)
        return (
            self.request._request.path,
            renderer.media_type,
            f"{interval:g}" if self.cache_policy.is_public else None,
            describe_user(self.request.user) if shows_user else None,
            str(get_current_timezone()),
        )

    def tag_of(self, version: Version, interval: float) -> str:
        """Return the tag of a single resource: its version, and what of the request shapes the answer."""
        parts = sorted(self.request.GET.lists()), self.get_representation(), self.get_variant(interval)
        return weak_etag(fingerprint(version, *parts), place=version.name)

    def answer(self, response: HttpResponseBase, validators: Validators, interval: float) -> HttpResponseBase:
        """Return `response`, a 200 or a 304, with the headers that both have; `interval` in seconds."""
        policy = self.cache_policy
        if policy.is_public and isinstance(self.request.accepted_renderer, BrowsableAPIRenderer):
            policy = policy if describe_user(self.request.user) is None else CachePolicy.private()
        validators.patch(response, self.request._request)
        policy.patch(response)
        varies = ["Accept-Encoding"] if conf.uses_middleware(GZIP) else []
        varies += varies_of(self, is_public=policy.is_public)
        if varies:
            patch_vary_headers(response, varies)
        response.headers["X-Poll-Interval"] = f"{interval:g}"
        response.headers["Accept-Ranges"] = "none"
        return response

    def state_of(self, scopes: tuple[str, ...] | None, *, cursor: Cursor | None = None) -> FeedState:
        """
        Return where the feed stands for this request, which has `cursor`.

        Several scopes have no one date of their newest change.
        """
        place = Place(self.database, self._feed, scopes)
        state = head_of(place, cursor=cursor, is_public=self.cache_policy.is_public)
        return replace(state, last_modified=None) if scopes is not None and len(scopes) > 1 else state

    def check_reached(self, state: FeedState, scopes: tuple[str, ...] | None) -> None:
        """
        Check that the rows to be read are no older than `state` says.

        Raises:
            NotYetAvailable: they may be.
        """
        place = Place(self.database, self._feed, scopes)
        check_reached(place, state, is_public=self.cache_policy.is_public)

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        overload.polls.begin()
        try:
            return super().dispatch(request, *args, **kwargs)
        finally:
            overload.polls.end()

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        if request.method in SAFE:
            overload.refuse_if_paused()
        super().initial(request, *args, **kwargs)

    def handle_exception(self, exc: Exception) -> Response:
        if overload.is_outage(exc):
            set_rollback()
            exc = overload.outage(exc)
        if isinstance(exc, TooManyFieldsSent):
            exc = ParseError(str(exc))
        if isinstance(exc, PollError):
            set_rollback()
            without = getattr(self.paginator, "position_parameters", ())
            return problems.of_poll_error(exc, restart=canonical_url(self.request, without=without))
        response = super().handle_exception(exc)
        problems.describe(response, exc)
        return response

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        if response.status_code >= 400:
            problems.finalize(response)
        if request.method in SAFE:
            poll_answered.send_robust(type(self), request=request, response=response)
        return response


class PollableListMixin(PollableMixin, mixins.ListModelMixin):
    """A list that clients poll: by `SincePagination`, `AfterIdPagination`, or as an ordinary DRF list."""

    pagination_class: Any = SincePagination

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(self.paginator, FeedPagination):
            return self._ordinary_list(request, *args, **kwargs)
        filtering.refuse(self)
        paginator = self.paginator
        query = self._query(request, paginator)
        log = ChangeLog(self._feed, self.scope_names, self.database)
        state = self.state_of(log.scopes, cursor=query.cursor)
        interval = self.get_poll_interval_seconds(state)
        query = query.shaped_by(self.get_variant(interval))
        if query.kind in ("time", "after"):  # where that is the database says
            self.check_reached(state, log.scopes)
        position = paginator.position(query, state, log)
        validators = paginator.foresee(query, position, state, request._request)
        if validators.is_current(request._request):
            return self.answer(NotModified(), validators, interval)

        question = query.question(state, position)
        name = rendered.name_of(self, question) if type(self).list is PollableListMixin.list else None

        def answer() -> tuple[Response, str]:
            self.check_reached(state, log.scopes)
            with overload.first_sync_slot() if position.is_first_sync else nullcontext():
                page = paginator.page(query, position, state, self._rows(log))
                items = self.get_serializer(page.items, many=True).data if page.items else []
                response = Response(page.envelope(items))
            if page.has_more:
                since = {paginator.since_query_param: page.next.encode()}
                url = canonical_url(request, without=paginator.position_parameters, **since)
                response.headers["Link"] = f'<{url}>; rel="next"'
            return response, paginator.etag(query, position, page, state)

        response, etag = answer() if name is None else rendered.share(self, name, answer)
        return self.answer(response, replace(validators, etag=etag), interval)

    def _ordinary_list(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        filtering.refuse(self)
        state = self.state_of(self.scope_names)
        interval = self.get_poll_interval_seconds(state)
        question = fingerprint(
            self._feed.id,
            state.epoch,
            state.head,
            self.scope_names,
            sorted(request.GET.lists()),
            self.get_representation(),
            self.get_variant(interval),
        )
        validators = Validators(weak_etag(question), state.last_modified)
        is_named = names_a_tag(request._request)
        if is_named and validators.is_current(request._request):
            return self.answer(NotModified(), validators, interval)
        self.check_reached(state, self.scope_names)
        response: Any = super().list(request, *args, **kwargs)
        if not is_named and validators.is_current(request._request):
            response = NotModified()  # any page, or one of a date: only now is it known that there is one
        return self.answer(response, validators, interval)

    def _query(self, request: Request, paginator: FeedPagination) -> Query:
        feed = self._feed
        view = (type(self).__module__, type(self).__qualname__, getattr(self, "action", None))
        binding = Binding(
            feed.id,
            fingerprint_once(self.scope_names),
            describe_filters(self, request._request, without=paginator.own_parameters),
            fingerprint_once(view, self.get_representation()),
        )

        def key(text: str) -> str:
            connection = connections[self.database]
            parsed = feed.key.parse(text, connection)
            return feed.key.encode(parsed if len(feed.key.fields) > 1 else [parsed], connection)

        return paginator.parse(request._request, binding, key)

    def _rows(self, log: ChangeLog) -> Rows:
        return Rows(
            log,
            shown=lambda: self.shown_rows,
            by_rule=lambda: filtering.rows_by_rule(self),
            existing=lambda: self.in_scope(QuerySet(log.feed.model, using=log.using)),
            discloses_removed=bool(self.discloses_removed),
        )


class PollableRetrieveMixin(PollableMixin, mixins.RetrieveModelMixin):
    """A single resource with a tag of its own: it changes when the row does, or what the row follows."""

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        instance = self.get_object()
        state = self.state_of(None)
        interval = self.get_poll_interval_seconds(state)
        version = version_at(state, self._feed, instance, using=self.database)
        validators = Validators(self.tag_of(version, interval))
        if validators.is_current(request._request):
            return self.answer(NotModified(), validators, interval)
        instance = self.get_object()  # read after the tag: a newer row than its tag is safe, an older one is not
        return self.answer(Response(self.get_serializer(instance).data), validators, interval)
