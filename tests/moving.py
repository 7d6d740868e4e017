"""Views that `docs/how-to/migrating.md` moves to this package: as they were, and as they become."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Max
from django.http import HttpRequest
from django.urls import path
from django.utils.decorators import method_decorator
from django.views.decorators.http import condition
from rest_framework.generics import ListAPIView
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from django_pollable.views import PollableListAPIView, PollableViewSet
from tests.shop.models import Item
from tests.shop.views import ItemSerializer


class ByPage(PageNumberPagination):
    page_size = 100


class UpdatedItems(ListAPIView[Item]):
    """`?updated_since=<instant>`: the rows that were saved later."""

    serializer_class = ItemSerializer

    def get_queryset(self) -> Any:
        rows = Item.objects.filter(tenant=self.kwargs["tenant"]).order_by("updated_at")
        if since := self.request.GET.get("updated_since"):
            rows = rows.filter(updated_at__gt=since)
        return rows


class Items(PollableListAPIView):
    queryset = Item.objects.all()
    serializer_class = ItemSerializer

    def get_scope(self) -> Any:
        return {"tenant": self.kwargs["tenant"]}


def newest(request: HttpRequest, tenant: int) -> datetime | None:
    return Item.objects.filter(tenant=tenant).aggregate(newest=Max("updated_at"))["newest"]


class ConditionalItems(ListAPIView[Item]):
    serializer_class = ItemSerializer
    pagination_class = ByPage

    def get_queryset(self) -> Any:
        return Item.objects.filter(tenant=self.kwargs["tenant"]).order_by("pk")

    @method_decorator(condition(last_modified_func=newest))
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class NumberedItems(PollableListAPIView):
    queryset = Item.objects.order_by("pk")
    serializer_class = ItemSerializer
    pagination_class = ByPage

    def get_scope(self) -> Any:
        return {"tenant": self.kwargs["tenant"]}


class GuardedItems(PollableViewSet):
    queryset = Item.objects.order_by("pk")
    serializer_class = ItemSerializer
    pagination_class = ByPage
    requires_precondition = True

    def get_scope(self) -> Any:
        return {"tenant": self.kwargs["tenant"]}


router = SimpleRouter()
router.register("guarded/(?P<tenant>[0-9]+)/items", GuardedItems)
urlpatterns = [
    path("updated/<int:tenant>/items/", UpdatedItems.as_view()),
    path("<int:tenant>/items/", Items.as_view()),
    path("conditional/<int:tenant>/items/", ConditionalItems.as_view()),
    path("numbered/<int:tenant>/items/", NumberedItems.as_view()),
    *router.urls,
]
