"""Requests to a private feed and to an empty view, through Django's default middleware."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.handlers.base import BaseHandler
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.test import RequestFactory, override_settings
from django.urls import path
from rest_framework import serializers
from rest_framework.authentication import TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from django_pollable.authentication import PollableTokenAuthentication
from django_pollable.caching import CachePolicy
from django_pollable.ledger.options import feed_of
from tests.shop.models import Item, Tenant
from tests.shop.views import OpenItems

SIZES = (1_000, 100_000, 1_000_000)
TOMBSTONES = 100_000
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]


class Serializer(serializers.ModelSerializer[Item]):
    class Meta:
        model = Item
        fields = ["id", "tenant", "name", "code", "status", "count", "data", "author", "updated_at", "author_id"]


class Empty(APIView):
    authentication_classes = [TokenAuthentication]
    permission_classes = [IsAuthenticated]

    def get(self, request: object, **kwargs: object) -> Response:
        return Response({})


class Nobody(Empty):
    authentication_classes = []
    permission_classes = []


class Cheap(Empty):
    authentication_classes = [PollableTokenAuthentication]


def row(request: HttpRequest) -> JsonResponse:
    """Read one row, and do nothing else."""
    Token.objects.get(pk="token")
    return JsonResponse({})


class Private(OpenItems):
    serializer_class = Serializer
    authentication_classes = [TokenAuthentication]
    permission_classes = [IsAuthenticated]
    cache_policy = CachePolicy.private()
    varies_by_user = True


class Open(OpenItems):
    serializer_class = Serializer


urlpatterns = [
    path("empty/", Empty.as_view()),
    path("nobody/", Nobody.as_view()),
    path("cheap/", Cheap.as_view()),
    path("row/", row),
    path("open/<tenants>/", Open.as_view()),
    path("private/<tenants>/", Private.as_view()),
]


def fill(size: int) -> None:
    """Make the table `size` rows large; the largest has tombstones, too."""
    tenant, _ = Tenant.objects.get_or_create(name="many")
    count = size - Item.objects.count()
    numbers = {
        "postgresql": "SELECT generate_series(1, %s) AS n",
        "mysql": f"SELECT seq AS n FROM seq_1_to_{count}",
        "sqlite": "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %s) SELECT n FROM s",
    }[connection.vendor]
    given = [] if connection.vendor == "mysql" else [count]
    text = "n" if connection.vendor == "mysql" else "CAST(n AS text)"
    with connection.cursor() as cursor:
        from django_pollable.ledger import triggers

        triggers.drop("default")  # adopted as an existing table is
        cursor.execute(
            "INSERT INTO shop_item (tenant_id, name, status, count, data, updated_at)"
            f" SELECT {tenant.pk}, 'name', 'new', 0, '{{}}', '2026-01-01 00:00:00' FROM ({numbers}) numbers",
            given,
        )
        triggers.install("default")
        if size == SIZES[-1]:
            cursor.execute(
                "INSERT INTO pollable_change (feed_id, scope, key, sequence, first_sequence, removed, changed_at)"
                f" SELECT {feed_of(Item).id}, '{tenant.pk}', {text}, -n, -n, {'true' if text != 'n' else 1}, 0"
                f" FROM ({numbers.replace(str(count), str(TOMBSTONES)) if not given else numbers}) numbers".replace(
                    "key,", "`key`," if connection.vendor == "mysql" else "key,"
                ),
                given and [TOMBSTONES],
            )
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE")


def requests(*, is_open: bool = False) -> dict[str, Callable[[], None]]:
    """Return functions that poll an unchanged feed, fetch a page of it, and fetch empty answers, by name."""
    if not Token.objects.filter(key="token").exists():
        Token.objects.create(user=User.objects.create_user("user"), key="token")
    with override_settings(MIDDLEWARE=MIDDLEWARE):
        handler = BaseHandler()
        handler.load_middleware()
    settings.ROOT_URLCONF = __name__
    factory = RequestFactory(headers={"Authorization": "Token token"})
    url = f"/{'open' if is_open else 'private'}/{Tenant.objects.get(name='many').pk}/"
    first = handler.get_response(factory.get(url, {"since": "now"}))
    query, etag = {"since": json.loads(first.content)["next_since"]}, {"HTTP_IF_NONE_MATCH": first["ETag"]}

    def answer(status: int, path: str, query: Any = None, **headers: Any) -> None:
        response = handler.get_response(factory.get(path, query, **headers))
        assert response.status_code == status, response.content

    return {
        "unchanged": lambda: answer(304, url, query, **etag),
        "page": lambda: answer(200, url),
        "empty": lambda: answer(200, "/empty/"),
        "nobody": lambda: answer(200, "/nobody/"),
        "cheap": lambda: answer(200, "/cheap/"),
        "row": lambda: answer(200, "/row/"),
    }
