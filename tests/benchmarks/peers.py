"""What others do instead, each as its documentation or a careful engineer would have it."""

from __future__ import annotations

import hashlib
import importlib.util
from datetime import datetime

from django.db.models import Count, Max, Q
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.views.decorators.http import condition, conditional_page
from rest_framework.authentication import TokenAuthentication
from rest_framework.generics import ListAPIView
from rest_framework.pagination import CursorPagination, PageNumberPagination
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_pollable.authentication import PollableTokenAuthentication
from tests.benchmarks.feeds import EntrySerializer
from tests.benchmarks.models import Entry

PAGE_SIZE = 100


def bare(request: HttpRequest) -> HttpResponse:
    """Answer 200 with nothing."""
    return HttpResponse(b"{}", content_type="application/json")


def bare_unchanged(request: HttpRequest) -> HttpResponse:
    """Answer 304 without looking."""
    return HttpResponseNotModified()


def bare_get(request: HttpRequest) -> HttpResponse:
    """Answer 304 after one row was read."""
    Entry.objects.get(pk=1)
    return HttpResponseNotModified()


class Empty(APIView):
    def get(self, request: Request) -> Response:
        return Response({})


class EmptyWithToken(Empty):
    authentication_classes = [TokenAuthentication]
    permission_classes = [IsAuthenticated]


class EmptyWithQuickToken(Empty):
    authentication_classes = [PollableTokenAuthentication]
    permission_classes = [IsAuthenticated]


class ByPage(PageNumberPagination):
    page_size = PAGE_SIZE


class ByCursor(CursorPagination):
    page_size = PAGE_SIZE
    ordering = "updated_at"


class NumberedEntries(ListAPIView[Entry]):
    queryset = Entry.objects.order_by("id")
    serializer_class = EntrySerializer
    pagination_class = ByPage


class CursorEntries(ListAPIView[Entry]):
    queryset = Entry.objects.all()
    serializer_class = EntrySerializer
    pagination_class = ByCursor


class KeysetEntries(APIView):
    """`?after=<updated_at>,<id>`: the rows that were updated later, oldest first."""

    serializer_class = EntrySerializer

    def get(self, request: Request) -> Response:
        rows = Entry.objects.order_by("updated_at", "id")
        if "after" in request.GET:
            moment, _, pk = request.GET["after"].partition(",")
            at = datetime.fromisoformat(moment)
            rows = rows.filter(Q(updated_at__gt=at) | Q(updated_at=at, id__gt=int(pk)), updated_at__gte=at)
        found = list(rows[: PAGE_SIZE + 1])
        page = found[:PAGE_SIZE]
        last = f"{page[-1].updated_at.isoformat()},{page[-1].pk}" if page else request.GET.get("after")
        items = self.serializer_class(page, many=True).data
        return Response({"items": items, "next": last, "has_more": len(found) > PAGE_SIZE})


def newest_and_count(request: HttpRequest) -> str:
    """The usual tag: when the newest row was saved, and how many there are."""
    found = Entry.objects.aggregate(newest=Max("updated_at"), count=Count("id"))
    return f'"{hashlib.md5(repr(found).encode()).hexdigest()}"'


def newest(request: HttpRequest) -> datetime | None:
    """The usual date."""
    found: datetime | None = Entry.objects.aggregate(newest=Max("updated_at"))["newest"]
    return found


by_date = condition(last_modified_func=newest)
by_count = condition(etag_func=newest_and_count)
by_hash = conditional_page
"""What ConditionalGetMiddleware does, for one view."""

HAS_EXTENSIONS = importlib.util.find_spec("rest_framework_extensions") is not None

if HAS_EXTENSIONS:
    from rest_framework_extensions.etag.mixins import APIListETAGMixin, ListETAGMixin

    class TaggedBySql(ListETAGMixin, NumberedEntries):
        """drf-extensions' default."""

    class TaggedByRows(APIListETAGMixin, NumberedEntries):
        """What drf-extensions has for APIs."""
