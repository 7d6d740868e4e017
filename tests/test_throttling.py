"""Quotas of REST framework views: after authentication, by scope, told in headers."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from rest_framework.authentication import TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.test import APIClient, APIRequestFactory
from rest_framework.views import APIView

from django_pollable.decorators import ratelimit
from django_pollable.throttling import LimitThrottle, PollableThrottle
from tests.shop.models import Item, Tenant
from tests.shop.views import ItemViewSet, OpenItems

pytestmark = pytest.mark.django_db
requests = APIRequestFactory()


@pytest.fixture(autouse=True)
def _rates(monkeypatch: pytest.MonkeyPatch) -> None:
    cache.clear()
    rates = {"polls": "2/h", "several": ("5/h", "1/d"), "off": None}
    monkeypatch.setattr(api_settings, "DEFAULT_THROTTLE_RATES", rates)


class Plain(APIView):
    """Not a pollable view."""

    authentication_classes = [TokenAuthentication]
    throttle_classes = [PollableThrottle]
    throttle_scope: str | None = "polls"

    def get(self, request: Any) -> Response:
        return Response({})


def ask(view: Any, token: str = "", **headers: Any) -> Any:
    headers |= {"Authorization": f"Token {token}"} if token else {}
    return view.as_view()(requests.get("/", headers=headers))


def test_a_refusal_is_problem_details_that_tells_when_to_come_back() -> None:
    first, _, refused = (ask(Plain) for _ in range(3))

    assert first["RateLimit-Policy"] == '"2-in-3600";q=2;w=3600'
    assert first["RateLimit"].startswith('"2-in-3600";r=1;t=')
    refused.render()
    assert (refused.status_code, refused["Cache-Control"]) == (429, "no-store")
    assert refused["Content-Type"] == "application/problem+json"
    assert int(refused["Retry-After"]) >= int(refused["RateLimit"].partition(";t=")[2])
    assert refused.data["type"].endswith(":quota-exceeded")
    assert (refused.data["status"], refused.data["violated-policies"]) == (429, ["2-in-3600"])


def test_two_token_users_never_share_a_bucket() -> None:
    for name in ("one", "two"):
        Token.objects.create(user=User.objects.create_user(name), key=name)

    assert [ask(Plain, "one").status_code for _ in range(3)] == [200, 200, 429]
    assert ask(Plain, "two").status_code == 200


def test_a_made_up_address_gives_no_new_bucket() -> None:
    codes = [ask(Plain, **{"X-Forwarded-For": f"192.0.2.{turn}"}).status_code for turn in range(3)]

    assert codes == [200, 200, 429]


def test_several_rates_must_each_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Plain, "throttle_scope", "several")

    _, refused = ask(Plain), ask(Plain)

    assert refused.data["violated-policies"] == ["1-in-86400"]
    assert '"5-in-3600"' in refused["RateLimit"]


@pytest.mark.parametrize("scope", [None, "off"])
def test_a_view_without_a_rate_is_not_limited(monkeypatch: pytest.MonkeyPatch, scope: str | None) -> None:
    monkeypatch.setattr(Plain, "throttle_scope", scope)

    assert not ask(Plain).has_header("RateLimit")


def test_a_scope_without_a_rate_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Plain, "throttle_scope", "unheard-of")

    with pytest.raises(ImproperlyConfigured, match="has no rate for the scope 'unheard-of'"):
        ask(Plain)


def test_a_throttle_must_say_its_limits() -> None:
    with pytest.raises(TypeError, match="get_limits"):
        LimitThrottle().get_limits(None, None)  # type: ignore[arg-type]


@override_settings(CACHES={"default": {"BACKEND": "tests.down.DownCache"}}, POLLABLE_RATELIMIT_FAIL_OPEN=False)
def test_a_cache_that_is_down_is_reduced_capacity_where_quotas_must_hold() -> None:
    refused = ask(Plain)

    assert (refused.status_code, refused["Cache-Control"]) == (503, "no-store")
    assert refused.data["type"].endswith(":temporary-reduced-capacity")
    assert int(refused["Retry-After"]) >= 1


class Limited(PollableThrottle):
    scope = "polls"
    unchanged_cost = 0
    ceiling = 14


def test_a_304_is_free_for_who_is_known(api: APIClient, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ItemViewSet, "throttle_classes", [Limited])
    url = f"/tenants/{Tenant.objects.create(name='alice').pk}/items/"
    api.credentials(HTTP_AUTHORIZATION="Token alice-token")
    first = api.get(url)

    unchanged = [api.get(url, headers={"If-None-Match": first["ETag"]}) for _ in range(10)]

    assert {answer.status_code for answer in unchanged} == {304}
    assert unchanged[-1]["RateLimit"].startswith('"2-in-3600";r=0;t=')
    assert [api.get(url).status_code for _ in range(2)] == [200, 429]
    assert api.get(url, headers={"If-None-Match": first["ETag"]}).status_code == 429


def test_a_304_costs_a_stranger_as_much_as_a_200(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenItems, "throttle_classes", [Limited])
    url = f"/open/{Tenant.objects.create(name='a').pk}/items/"
    etag = api.get(url)["ETag"]

    assert [api.get(url, headers={"If-None-Match": etag}).status_code for _ in range(2)] == [304, 429]


def test_an_answer_for_all_tells_nobodys_quota(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OpenItems, "throttle_classes", [Limited])
    url = f"/open/{Tenant.objects.create(name='a').pk}/items/"

    answers = [api.get(url) for _ in range(3)]

    assert [answer.has_header("RateLimit") for answer in answers] == [False, False, True]
    assert answers[2]["Content-Type"] == "application/problem+json"
    assert answers[2].json()["violated-policies"] == ["2-in-3600"]


def test_a_limit_on_one_method_counts_that_method(api: APIClient, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    limited = ratelimit(key="user", rate="1/h")(ItemViewSet.list)
    monkeypatch.setattr(ItemViewSet, "list", limited)
    tenant = Tenant.objects.create(name="alice")
    item = Item.objects.create(tenant=tenant)
    url = f"/tenants/{tenant.pk}/items/"
    api.credentials(HTTP_AUTHORIZATION="Token alice-token")

    answers = [api.get(url), api.get(url), api.get(f"{url}{item.pk}/")]

    assert [answer.status_code for answer in answers] == [200, 429, 200]
    assert answers[1].json()["type"].endswith(":quota-exceeded")
