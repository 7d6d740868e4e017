"""What the comparison says of others, where no benchmark shows it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.utils.decorators import method_decorator
from django.views.decorators.http import condition
from rest_framework.generics import ListAPIView
from rest_framework.pagination import CursorPagination
from rest_framework.permissions import IsAuthenticated
from rest_framework.test import APIRequestFactory

from tests.factories import ItemFactory, TenantFactory
from tests.shop.models import Item
from tests.shop.views import ItemSerializer

pytestmark = pytest.mark.django_db
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


class ByUpdate(CursorPagination):
    page_size = 100
    ordering = "updated_at"


class UpdatedItems(ListAPIView[Item]):
    queryset = Item.objects.all()
    serializer_class = ItemSerializer
    authentication_classes = []
    pagination_class = ByUpdate


def tag(request: Any) -> str:
    return '"tag"'


@method_decorator(condition(etag_func=tag), name="dispatch")
class GuardedItems(UpdatedItems):
    permission_classes = [IsAuthenticated]


def get(view: Any, url: str = "/", **headers: str) -> Any:
    return view.as_view()(APIRequestFactory().get(url, headers=headers))


def test_cursor_pagination_has_no_place_to_go_on_from_at_its_end() -> None:
    ItemFactory(updated_at=MOMENT)

    assert get(UpdatedItems).data["next"] is None


def test_cursor_pagination_never_gets_past_many_rows_of_one_instant() -> None:
    """As one `UPDATE` of them all leaves them."""
    tenant = TenantFactory()
    Item.objects.bulk_create(Item(tenant=tenant, updated_at=MOMENT) for _ in range(1500))
    seen: set[int] = set()
    urls: set[str] = set()
    url = "/"

    while url and url not in urls:
        urls.add(url)
        page = get(UpdatedItems, url).data
        seen |= {item["id"] for item in page["results"]}
        url = page["next"]

    assert url in urls
    assert len(seen) < 1500


def test_condition_in_front_of_a_view_answers_before_it_asks_who_may_see() -> None:
    assert get(GuardedItems).status_code in (401, 403)
    assert get(GuardedItems, If_None_Match='"tag"').status_code == 304
