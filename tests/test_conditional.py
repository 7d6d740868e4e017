"""Tags and dates: which answer each of them stands for."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpResponse
from django.middleware.common import CommonMiddleware
from django.test import RequestFactory, override_settings
from django.utils.http import http_date
from rest_framework.test import APIClient

from django_pollable.conditional import NotModified
from django_pollable.ledger.tables import Feed, Scope
from django_pollable.representations import describe_user
from tests.factories import ItemFactory, LogFactory, TenantFactory
from tests.shop.models import Tenant

pytestmark = pytest.mark.django_db
PAST = 1_700_000_000


@pytest.fixture
def tenant() -> Tenant:
    return TenantFactory()


def test_which_tag_makes_a_304_of_which_request(api: APIClient, tenant: Tenant) -> None:
    """P13, P14: the tag of the very answer, and for a cursor at the head of any answer that ended there."""
    url = f"/open/{tenant.pk}/items/"
    ItemFactory(tenant=tenant)
    Feed.objects.update(pruned_before=0)
    behind = api.get(url, {"limit": 2}).json()["next_since"]
    ItemFactory.create_batch(4, tenant=tenant)
    at_head = api.get(url, {"limit": 2, "since": "now"}).json()["next_since"]
    requests: dict[str, dict[str, Any]] = {
        "first": {},
        "now": {"since": "now"},
        "time": {"since": "2001-01-01"},
        "future": {"since": "2200-01-01"},
        "behind": {"since": behind},
        "next": {"since": api.get(url, {"limit": 2, "since": behind}).json()["next_since"]},
        "head": {"since": at_head},
    }

    tags = {name: api.get(url, {"limit": 2, **query})["ETag"] for name, query in requests.items()}
    table = {
        name: {
            of
            for of, tag in tags.items()
            if api.get(url, {"limit": 2, **query}, headers={"If-None-Match": tag}).status_code == 304
        }
        for name, query in requests.items()
    }

    assert table == {
        "first": {"first"},
        "now": {"now"},
        "time": {"time"},
        "future": {"future"},
        "behind": {"behind"},
        "next": {"next"},
        "head": {"now", "future", "next", "head"},
    }


def test_the_tag_of_an_id_is_its_own(api: APIClient) -> None:
    log = LogFactory()
    requests: dict[str, dict[str, Any]] = {"first": {}, "now": {"since": "now"}, "id": {"after_id": log.pk}}
    tags = {name: api.get("/logs/", query)["ETag"] for name, query in requests.items()}

    for name, query in requests.items():
        for of, tag in tags.items():
            status = api.get("/logs/", query, headers={"If-None-Match": tag}).status_code
            assert (status == 304) == (name == of)
    since = api.get("/logs/").json()["next_since"]
    for tag in tags.values():
        assert api.get("/logs/", {"since": since}, headers={"If-None-Match": tag}).status_code == 304


def test_the_tag_of_a_first_sync_serves_for_its_cursor(api: APIClient, tenant: Tenant) -> None:
    url = f"/open/{tenant.pk}/items/"
    first = api.get(url)

    again = api.get(url, {"since": first.json()["next_since"]}, headers={"If-None-Match": first["ETag"]})

    assert (again.status_code, again["ETag"]) == (304, first["ETag"])


@pytest.mark.parametrize("middleware", [[], ["django.middleware.http.ConditionalGetMiddleware"]])
def test_a_date_is_the_one_that_was_told_or_none(api: APIClient, tenant: Tenant, middleware: list[str]) -> None:
    """P17: a later one may be another history's."""
    url = f"/open/{tenant.pk}/items/"
    ItemFactory(tenant=tenant)
    api.get(url)
    Scope.objects.update(modified_at=PAST)

    with override_settings(MIDDLEWARE=middleware):
        told = api.get(url)["Last-Modified"]
        assert api.get(url, headers={"If-Modified-Since": told}).status_code == 304
        assert api.get(url, headers={"If-Modified-Since": http_date(PAST + 1)}).status_code == 200
        assert api.get(url, headers={"If-Modified-Since": http_date(PAST - 1)}).status_code == 200


def test_several_scopes_have_no_date(api: APIClient, tenant: Tenant) -> None:
    """P17: two of them may change in one second, one after the other."""
    other = TenantFactory()
    ItemFactory(tenant=tenant)
    ItemFactory(tenant=other)
    url = f"/open/{tenant.pk},{other.pk}/items/"
    api.get(url)
    Scope.objects.update(modified_at=PAST)

    assert not api.get(url).has_header("Last-Modified")
    assert api.get(url, headers={"If-Modified-Since": http_date(PAST)}).status_code == 200


def test_a_precondition_needs_a_date_to_fail(api: APIClient, tenant: Tenant) -> None:
    url = f"/open/{tenant.pk}/items/"
    past = {"If-Unmodified-Since": http_date(PAST - 1)}
    ItemFactory(tenant=tenant)
    assert api.get(url, headers=past).status_code == 200

    Scope.objects.update(modified_at=PAST)

    assert api.get(url, headers=past).status_code == 412
    assert api.get(url, headers={"If-Unmodified-Since": http_date(PAST)}).status_code == 200
    assert api.get(url, headers={"If-Match": "*"}).status_code == 200


def test_the_interval_is_in_the_tag_only_where_caches_share_it(api: APIClient, alice: Any) -> None:
    """P12, P22: a client of its own reads the pace from its 304."""
    tenant = TenantFactory(name="alice")
    api.credentials(HTTP_AUTHORIZATION="Token alice-token")
    private, public = f"/tenants/{tenant.pk}/items/", f"/open/{tenant.pk}/items/"
    tags = {url: api.get(url)["ETag"] for url in (private, public)}

    with override_settings(POLLABLE_POLL_INTERVAL_SECONDS=9):
        answer = api.get(private, headers={"If-None-Match": tags[private]})
        assert (answer.status_code, answer["X-Poll-Interval"]) == (304, "9")
        assert api.get(public, headers={"If-None-Match": tags[public]}).status_code == 200


def test_a_304_takes_no_length_and_says_so() -> None:
    middleware = CommonMiddleware(lambda _: HttpResponse())
    answer = middleware.process_response(RequestFactory().get("/"), NotModified())

    assert not answer.has_header("Content-Length")
    assert "Content-Length" not in answer.headers
    assert dict(answer.items()) == {}
    assert answer.data is None


def test_users_are_told_apart_by_kind_and_key() -> None:
    class Service:
        is_authenticated = True
        pk = 1

    class Nameless:
        pass

    assert describe_user(None) is None
    assert describe_user(Service()) == describe_user(Service())
    assert describe_user(Nameless()) != describe_user(Nameless())
