"""Django REST framework views that clients can poll."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import generics, mixins, viewsets
from rest_framework.request import Request

from django_pollable.mixins import PollableListMixin, PollableRetrieveMixin
from django_pollable.writing import PollableDestroyMixin, PollableUpdateMixin

if TYPE_CHECKING:
    View = generics.GenericAPIView[Any]
    ViewSet = viewsets.GenericViewSet[Any]
else:
    View = generics.GenericAPIView
    ViewSet = viewsets.GenericViewSet


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
    PollableUpdateMixin,
    PollableDestroyMixin,
    ViewSet,
):
    """A model's viewset whose `list` and `retrieve` clients poll, and whose writes heed `If-Match`."""
