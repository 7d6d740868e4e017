"""Django REST framework views and mixins that clients can poll."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import connections
from django.db.models import Model
from django.http import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.translation import get_language
from rest_framework import generics, mixins, viewsets
from rest_framework.authentication import SessionAuthentication
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import set_rollback

from django_pollable import overload, problems
from django_pollable.caching import CachePolicy
from django_pollable.conditional import NotModified, Validators, weak_etag
from django_pollable.conf import conf
from django_pollable.cursors import Binding, fingerprint, fingerprint_once
from django_pollable.exceptions import PollError
from django_pollable.ledger.changes import ChangeLog
from django_pollable.ledger.sequencer import poll_state
from django_pollable.ledger.state import FeedState
from django_pollable.pacing import Circumstances
from django_pollable.pages import Query, Rows
from django_pollable.pagination import FeedPagination, SincePagination
from django_pollable.representations import canonical_url, describe_serializer, request_filters
from django_pollable.scopes import ScopedMixin
from django_pollable.signals import poll_answered

GZIP = "django.middleware.gzip.GZipMiddleware"
SAFE = ("GET", "HEAD")

if TYPE_CHECKING:
    View = generics.GenericAPIView[Any]
    ViewSet = viewsets.GenericViewSet[Any]
else:
    View = generics.GenericAPIView
    ViewSet = viewsets.GenericViewSet


class PollableMixin(ScopedMixin):
    """
    What the list and the single resource share: validators, headers and problems.

    Attributes:
        cache_policy: what `Cache-Control` says; `CachePolicy.private()` by default.
        varies_by_user: False where all users get the same bytes.
        representation_version: change it when the serializer's output changes its meaning.
        poll_interval_seconds: the pace that `X-Poll-Interval` names; None for the setting. A function of
            `Circumstances`, as an `AdaptiveInterval` is, is asked for each answer.
        discloses_removed: True where clients may learn the keys of rows that `get_queryset()`
            hides inside their scope; otherwise a row that it begins to hide stays with the client.
    """

    cache_policy: ClassVar[CachePolicy] = CachePolicy.private()
    varies_by_user: ClassVar[bool] = True
    representation_version: ClassVar[str] = ""
    poll_interval_seconds: ClassVar[float | Callable[[Circumstances], float] | None] = None
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
            describe_serializer(self.get_serializer_class(), self),
            self.representation_version,
            get_language(),
            self.request.version,
        )

    def get_variant(self, interval: float) -> tuple[Any, ...]:
        """Return what shapes an answer besides its cursor: it is part of every tag, so that no cache freezes it."""
        renderer: BaseRenderer = self.request.accepted_renderer
        user = self.request.user if self.varies_by_user else None
        return (
            self.request._request.path,
            renderer.media_type,
            interval,
            str(user.pk) if user is not None and user.is_authenticated else None,
        )

    def answer(self, response: HttpResponseBase, validators: Validators, interval: float) -> HttpResponseBase:
        """Return `response`, a 200 or a 304, with the headers that both have; `interval` in seconds."""
        validators.patch(response)
        self.cache_policy.patch(response)
        varies = self._vary()
        if varies:
            patch_vary_headers(response, varies)
        response.headers["X-Poll-Interval"] = f"{interval:g}"
        response.headers["Accept-Ranges"] = "none"
        return response

    def _vary(self) -> list[str]:
        varies = ["Accept-Encoding"] if conf.uses_middleware(GZIP) else []
        if self.cache_policy.is_public:
            return varies
        by_session = [
            isinstance(authenticator, SessionAuthentication) for authenticator in self.request.authenticators or ()
        ]
        if any(by_session):
            varies.append("Cookie")
        if not all(by_session):
            varies.append("Authorization")
        return varies

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
        if isinstance(exc, PollError):
            return problems.of_poll_error(exc, restart=canonical_url(self.request, without=("since", "after_id")))
        response = super().handle_exception(exc)
        problems.describe(response, exc)
        return response

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        if response.status_code >= 400 and isinstance(response, Response):
            problems.finalize(response, request)
        if request.method in SAFE:
            poll_answered.send(type(self), request=request, response=response)
        return response


class PollableListMixin(PollableMixin, mixins.ListModelMixin):
    """A list that clients poll: by `SincePagination`, `AfterIdPagination`, or as an ordinary DRF list."""

    pagination_class: Any = SincePagination

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(self.paginator, FeedPagination):
            return self._ordinary_list(request, *args, **kwargs)
        paginator = self.paginator
        using = self.get_database()
        query = self._query(request, paginator, using)
        log = ChangeLog(self.get_feed(), self.scope_names, using)
        state = poll_state(log.feed, log.scopes, using=using)
        interval = self.get_poll_interval_seconds(state)
        query = replace(query, variant=self.get_variant(interval))
        position = paginator.position(query, state, log)
        for validators in paginator.candidates(query, position, state, request):
            if validators.is_current(request):
                return self.answer(NotModified(), validators, interval)
        with overload.first_sync_slot() if position.is_first_sync else nullcontext():
            page = paginator.page(query, position, state, self._rows(log))
            response = Response(page.envelope(self.get_serializer(page.items, many=True).data))
        if page.has_more:
            since = page.next.encode()
            response.headers["Link"] = f'<{canonical_url(request, without=("after_id",), since=since)}>; rel="next"'
        return self.answer(response, paginator.validators(query, position, page, state, request), interval)

    def _ordinary_list(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        feed = self.get_feed()
        state = poll_state(feed, self.scope_names, using=self.get_database())
        interval = self.get_poll_interval_seconds(state)
        tag = weak_etag(
            feed.id,
            state.epoch,
            state.head,
            self.scope_names,
            sorted(request.GET.lists()),
            self.get_representation(),
            self.get_variant(interval),
        )
        validators = Validators(tag, state.last_modified)
        if validators.is_current(request):
            return self.answer(NotModified(), validators, interval)
        return self.answer(super().list(request, *args, **kwargs), validators, interval)

    def _query(self, request: Request, paginator: FeedPagination, using: str) -> Query:
        feed = self.get_feed()
        own = (*paginator.own_parameters, api_settings.URL_FORMAT_OVERRIDE, api_settings.VERSION_PARAM)
        given = sorted((name, values) for name, values in request._request.GET.lists() if name not in own)
        path = sorted((name, str(value)) for name, value in self.kwargs.items() if name not in own)
        binding = Binding(
            feed.id,
            fingerprint_once((self.scope_names,)),
            fingerprint(given, path),
            fingerprint_once((self.get_representation(),)),
        )

        def key(text: str) -> str:
            return feed.key.encode([feed.key.parse(text, connections[using])], connections[using])

        return paginator.parse(request._request, binding, key)

    def _rows(self, log: ChangeLog) -> Rows:
        visible = self.in_scope(self.get_queryset()).using(log.using)
        existing = self.in_scope(log.feed.model._base_manager.using(log.using).all())
        shown = self.filter_queryset(self.get_queryset())
        return Rows(log, shown, visible, existing, bool(self.discloses_removed))


class PollableRetrieveMixin(PollableMixin, mixins.RetrieveModelMixin):
    """A single resource with a tag of its own: it changes when the row does, or what the row follows."""

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        instance = self.get_object()
        state = poll_state(self.get_feed(), None, using=self.get_database())
        interval = self.get_poll_interval_seconds(state)
        validators = self._validators(instance, state, interval)
        if validators.is_current(request):
            return self.answer(NotModified(), validators, interval)
        instance = self.get_object()  # read after the tag: a newer row than its tag is safe, an older one is not
        return self.answer(Response(self.get_serializer(instance).data), validators, interval)

    def _validators(self, instance: Model, state: FeedState, interval: float) -> Validators:
        feed, using = self.get_feed(), self.get_database()
        key = feed.key.encode([getattr(instance, field.attname) for field in feed.key.fields], connections[using])
        sequence = ChangeLog(feed, None, using).object_sequence(key)
        parts = (feed.id, state.epoch, key, sequence, sorted(request_filters(self.request)))
        return Validators(weak_etag(parts, self.get_representation(), self.get_variant(interval)))


class PollableListAPIView(PollableListMixin, View):
    """A list view that clients poll."""

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        return self.list(request, *args, **kwargs)


class PollableRetrieveAPIView(PollableRetrieveMixin, View):
    """A view of a single resource that clients poll."""

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        return self.retrieve(request, *args, **kwargs)


class PollableReadOnlyViewSet(PollableListMixin, PollableRetrieveMixin, ViewSet):
    """`list` and `retrieve` that clients poll."""


class PollableViewSet(
    PollableListMixin,
    PollableRetrieveMixin,
    mixins.CreateModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    ViewSet,
):
    """A model's viewset whose `list` and `retrieve` clients poll."""
