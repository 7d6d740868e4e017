"""The clauses of `docs/reference/protocol.md`, through HTTP."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import OperationalError, connection
from django.test import override_settings
from django.utils.translation import override
from rest_framework.authtoken.models import Token
from rest_framework.settings import api_settings
from rest_framework.test import APIClient

from django_pollable import overload
from django_pollable.ledger.history import renew
from django_pollable.ledger.options import feed_of
from django_pollable.ledger.pruning import prune
from django_pollable.ledger.sequencer import settle
from django_pollable.ledger.tables import Change, Feed, Scope
from django_pollable.pacing import AdaptiveInterval
from django_pollable.throttling import PollableThrottle
from tests.shop.models import Item, Label, Log, Part, Tenant
from tests.shop.views import ItemViewSet, OpenItems

pytestmark = pytest.mark.django_db
Queries = Callable[[int], Any]


@pytest.fixture
def tenant() -> Tenant:
    return Tenant.objects.create(name="alice")


@pytest.fixture
def url(tenant: Tenant) -> str:
    return f"/open/{tenant.pk}/items/"


def fill(tenant: Tenant, count: int) -> list[Item]:
    return Item.objects.bulk_create(Item(tenant=tenant, name=str(number)) for number in range(count))


def settle_all() -> None:
    while settle(feed_of(Item), using="default"):
        pass


def poll(api: APIClient, url: str, etag: str = "", **query: object) -> Any:
    return api.get(url, query, headers={"If-None-Match": etag} if etag else {})


def names(answer: Any) -> list[str]:
    return [item["name"] for item in answer.json()["items"]]


def forget_everything() -> None:
    settle_all()
    Change.objects.update(changed_at=1)
    prune(feed_of(Item), using="default")


def test_every_clause_is_cited() -> None:
    documented = re.findall(r"^(P\d+)$", Path("docs/reference/protocol.md").read_text(), re.MULTILINE)
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    cited = set(re.findall(r'"""(P\d+)', tests))

    assert set(documented) == cited


def test_a_cursor_gives_what_changed_after_it(api: APIClient, url: str, tenant: Tenant) -> None:
    """P1: `since`, `limit`, filters; GET and HEAD."""
    _, second = fill(tenant, 2)
    start = poll(api, url, status="new").json()["next_since"]
    Item.objects.filter(pk=second.pk).update(name="changed")

    answer = poll(api, url, since=start, status="new", limit=5)

    assert names(answer) == ["changed"]
    assert api.head(url).status_code == 200


def test_since_can_be_a_time_or_now(api: APIClient, url: str, tenant: Tenant) -> None:
    """P2: Unix time, ISO 8601, `now`."""
    fill(tenant, 2)
    settle_all()
    Feed.objects.update(pruned_before=0)

    assert len(names(poll(api, url, since=int(time.time()) - 60))) == 2
    assert len(names(poll(api, url, since="2020-01-01T00:00:00Z"))) == 2
    assert names(poll(api, url, since="2200-01-01")) == []
    now = poll(api, url, since="now").json()
    assert (now["items"], now["reset"]) == ([], False)
    fill(tenant, 1)
    assert len(names(poll(api, url, since=now["next_since"]))) == 1


def test_a_limit_above_the_maximum_counts_as_the_maximum(api: APIClient, url: str, tenant: Tenant) -> None:
    """P3: coerced down; 0 and what is no number are 400."""
    fill(tenant, 5)

    with override_settings(POLLABLE_MAX_PAGE_SIZE=3):
        assert len(names(poll(api, url, limit=10**12))) == 3
    assert poll(api, url, limit=0).status_code == 400


def test_rows_after_an_id_come_in_the_order_of_change(api: APIClient) -> None:
    """P4: a lower id that comes late is not skipped, and a row that is gone keeps its place."""
    Log.objects.bulk_create([Log(id=10, text="a"), Log(id=12, text="b")])
    assert [item["id"] for item in poll(api, "/logs/").json()["items"]] == [10, 12]
    Log.objects.create(id=11, text="late")

    assert [item["id"] for item in poll(api, "/logs/", after_id=12).json()["items"]] == [11]
    Log.objects.filter(id=12).delete()
    assert [item["id"] for item in poll(api, "/logs/", after_id=12).json()["items"]] == [11]
    assert poll(api, "/logs/", after_id="x").status_code == 400


def test_rows_older_than_the_tracking_come_first_by_id(api: APIClient) -> None:
    """P4: rows without a recorded change, by primary key; a place that pruning blurs is 410."""
    Log.objects.bulk_create(Log(id=number, text="old") for number in (1, 2, 3))
    poll(api, "/logs/")
    Change.objects.all().delete()
    Log.objects.create(id=9, text="new")

    first = poll(api, "/logs/", limit=2).json()
    assert [item["id"] for item in first["items"]] == [1, 2]
    assert [item["id"] for item in poll(api, "/logs/", after_id=2).json()["items"]] == [3, 9]
    rest = poll(api, "/logs/", since=first["next_since"]).json()
    assert [item["id"] for item in rest["items"]] == [3, 9]
    Change.objects.update(changed_at=1)
    prune(feed_of(Log), using="default")
    assert poll(api, "/logs/", after_id=2).status_code == 410
    assert poll(api, "/logs/", after_id=9).json()["items"] == []


def test_what_leaves_the_filter_or_the_scope_or_is_gone_is_removed(api: APIClient, url: str, tenant: Tenant) -> None:
    """P5: the envelope, in change order."""
    kept, filtered, moved, deleted = fill(tenant, 4)
    start = poll(api, url, status="new").json()["next_since"]
    deleted_key = str(deleted.pk)
    deleted.delete()
    Item.objects.filter(pk=moved.pk).update(tenant=Tenant.objects.create(name="b"))
    Item.objects.filter(pk=filtered.pk).update(status="done")
    Item.objects.filter(pk=kept.pk).update(name="kept")

    body = poll(api, url, since=start, status="new").json()

    assert set(body) == {"items", "removed", "next_since", "has_more", "reset"}
    assert body["removed"] == [deleted_key, str(moved.pk), str(filtered.pk)]
    assert [item["name"] for item in body["items"]] == ["kept"]


def test_has_more_comes_with_a_link_and_only_then(api: APIClient, url: str, tenant: Tenant) -> None:
    """P6: 60 rows of one statement in pages of 21."""
    start = poll(api, url).json()["next_since"]
    fill(tenant, 60)
    seen: list[int] = []
    sizes = []
    answer = poll(api, url, since=start, limit=21)
    while True:
        body = answer.json()
        seen += [item["id"] for item in body["items"]]
        sizes.append(len(body["items"]))
        assert body["has_more"] == answer.has_header("Link")
        if not body["has_more"]:
            break
        answer = api.get(re.match("<(.*)>", answer["Link"])[1])  # type: ignore[index]

    assert sizes == [21, 21, 18]
    assert seen == list(Item.objects.order_by("pk").values_list("pk", flat=True))


def test_the_cursor_moves_on_where_nothing_matches(api: APIClient, url: str, tenant: Tenant) -> None:
    """P7: pages emptied by the filter have a cursor, and more."""
    start = poll(api, url, status="done").json()["next_since"]
    fill(tenant, 5)
    Item.objects.all().delete()
    fill(tenant, 5)

    body = poll(api, url, since=start, status="done", limit=3).json()

    assert body["items"] == []
    assert body["has_more"]
    assert body["next_since"] != start


def test_delete_and_create_between_polls_is_one_item(api: APIClient, url: str, tenant: Tenant) -> None:
    """P8: each key at most once."""
    (item,) = fill(tenant, 1)
    start = poll(api, url).json()["next_since"]
    key = item.pk
    item.delete()
    Item.objects.create(id=key, tenant=tenant, name="again")
    gone = Item.objects.create(tenant=tenant, name="gone")
    gone_key = str(gone.pk)
    gone.delete()

    body = poll(api, url, since=start).json()

    assert [(item["id"], item["name"]) for item in body["items"]] == [(key, "again")]
    assert body["removed"] == [gone_key]


def test_a_first_sync_ends_with_what_changed_since_it_began(api: APIClient, url: str, tenant: Tenant) -> None:
    """P9: live rows by primary key, `reset` on the first page only."""
    items = fill(tenant, 4)
    first = poll(api, url, limit=2).json()
    first_key = str(items[0].pk)
    items[0].delete()
    second = poll(api, url, limit=2, since=first["next_since"]).json()
    last = poll(api, url, limit=2, since=second["next_since"]).json()

    assert [page["reset"] for page in (first, second, last)] == [True, False, False]
    assert [page["has_more"] for page in (first, second, last)] == [True, False, False]
    assert last["removed"] == [first_key]


def test_a_cursor_can_be_replayed(api: APIClient, url: str, tenant: Tenant) -> None:
    """P10: at least once."""
    start = poll(api, url).json()["next_since"]
    fill(tenant, 3)

    assert poll(api, url, since=start).json() == poll(api, url, since=start).json()


def test_paging_ends_under_constant_writes(api: APIClient, url: str, tenant: Tenant) -> None:
    """P11: ten rows that change between all pages."""
    start = poll(api, url).json()["next_since"]
    fill(tenant, 10)
    pages = 0
    has_more = True
    while has_more:
        Item.objects.update(count=pages)
        body = poll(api, url, since=start, limit=6).json()
        start, has_more, pages = body["next_since"], body["has_more"], pages + 1
        assert pages < 20


def test_a_tag_names_the_user_and_not_the_credential(api: APIClient, alice: User, tenant: Tenant, url: str) -> None:
    """P12: a rotated token gets its 304; another user does not."""
    url = f"/tenants/{tenant.pk}/items/"
    api.credentials(HTTP_AUTHORIZATION="Token alice-token")
    etag = poll(api, url)["ETag"]
    Token.objects.filter(user=alice).update(key="new-token")
    api.credentials(HTTP_AUTHORIZATION="Token new-token")

    assert etag.startswith('W/"')
    assert poll(api, url, etag).status_code == 304
    alice.username = "was-alice"
    alice.save()
    Token.objects.create(user=User.objects.create_user("alice"), key="other-token")
    api.credentials(HTTP_AUTHORIZATION="Token other-token")
    assert poll(api, url, etag).status_code == 200


@pytest.mark.parametrize("sent", ["{}", '"x", {}', "*", "{bare}"])
def test_a_tag_that_matches_gets_304_in_one_query(
    api: APIClient, url: str, tenant: Tenant, django_assert_num_queries: Queries, sent: str
) -> None:
    """P13: list, `*`, weak comparison."""
    fill(tenant, 3)
    etag = poll(api, url)["ETag"]
    poll(api, url)

    with django_assert_num_queries(1):
        answer = poll(api, url, sent.format(etag, bare=etag.removeprefix("W/")))

    assert answer.status_code == 304
    assert answer.content == b""


def test_the_tag_of_the_answer_that_gave_a_cursor_serves_for_it(
    api: APIClient, url: str, tenant: Tenant, django_assert_num_queries: Queries
) -> None:
    """P14: in one query, and again after a delta."""
    fill(tenant, 3)
    for _ in range(2):
        answer = poll(api, url)
        start, etag = answer.json()["next_since"], answer["ETag"]
        with django_assert_num_queries(1):
            assert poll(api, url, etag, since=start).status_code == 304
        Item.objects.update(count=7)
        answer = poll(api, url, etag, since=start)
        assert len(names(answer)) == 3
        assert poll(api, url, answer["ETag"], since=answer.json()["next_since"]).status_code == 304
        Item.objects.update(count=8)


@pytest.mark.parametrize("middleware", ["django.middleware.http.ConditionalGetMiddleware", None])
def test_a_tag_never_hides_what_follows_a_cursor(
    api: APIClient, url: str, tenant: Tenant, middleware: str | None
) -> None:
    """P14: neither the tag of a full page nor a newer tag, whatever middleware is installed."""
    start = poll(api, url).json()["next_since"]
    fill(tenant, 5)
    with override_settings(MIDDLEWARE=[middleware] if middleware else []):
        full = poll(api, url, since=start, limit=2)
        following = poll(api, url, full["ETag"], since=full.json()["next_since"], limit=2)
        newest = poll(api, url, since=following.json()["next_since"], limit=2)
        assert poll(api, url, newest["ETag"], since=newest.json()["next_since"], limit=2).status_code == 304

        assert len(names(following)) == 2
        again = poll(api, url, newest["ETag"], since=following.json()["next_since"], limit=2)
        assert again.status_code == 304  # the very answer that has this tag
        assert len(names(poll(api, url, full["ETag"], since=following.json()["next_since"], limit=2))) == 1
        assert len(names(poll(api, url, newest["ETag"], since=start, limit=2))) == 2


@pytest.mark.parametrize("credentials", ["", "Token nobody", "Token bob-token"])
def test_nobody_gets_a_304_who_would_not_get_a_200(
    api: APIClient, alice: User, tenant: Tenant, credentials: str
) -> None:
    """P15: the answer is the same with a tag that matches."""
    Token.objects.create(user=User.objects.create_user("bob"), key="bob-token")
    url = f"/tenants/{tenant.pk}/items/"
    api.credentials(HTTP_AUTHORIZATION="Token alice-token")
    etag = poll(api, url)["ETag"]
    api.credentials(HTTP_AUTHORIZATION=credentials)

    with_tag, without = poll(api, url, etag), poll(api, url)

    assert with_tag.status_code == without.status_code in (401, 403)
    assert with_tag.headers == without.headers
    assert with_tag.content == without.content


def test_a_throttled_request_gets_no_304(api: APIClient, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """P15: throttling comes before preconditions."""
    from rest_framework.throttling import AnonRateThrottle

    class Never(AnonRateThrottle):
        rate = "1/day"

        def allow_request(self, request: Any, view: Any) -> bool:
            return False

        def wait(self) -> float:
            return 7

    etag = poll(api, url)["ETag"]
    monkeypatch.setattr(OpenItems, "throttle_classes", [Never])

    answer = poll(api, url, etag)

    assert (answer.status_code, answer["Cache-Control"]) == (429, "no-store")
    assert 7 <= int(answer["Retry-After"]) <= 12


def test_a_304_has_the_headers_of_the_200(api: APIClient, url: str, tenant: Tenant) -> None:
    """P16: through the usual middleware, and no Content-Length."""
    fill(tenant, 50)
    middleware = [
        "django.middleware.gzip.GZipMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
        "corsheaders.middleware.CorsMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.locale.LocaleMiddleware",
        "django.middleware.common.CommonMiddleware",
    ]
    with override_settings(MIDDLEWARE=middleware, CORS_ALLOW_ALL_ORIGINS=True, CORS_EXPOSE_HEADERS=["ETag"]):
        ask = {"Accept-Encoding": "gzip", "Origin": "https://example.org"}
        full = api.get(url, headers=ask)
        unchanged = api.get(url, headers={**ask, "If-None-Match": full["ETag"]})

    assert full["Content-Encoding"] == "gzip"
    assert unchanged.status_code == 304
    body_headers = {"Content-Type", "Content-Length", "Content-Encoding"}
    ours, theirs = dict(unchanged.items()), {k: v for k, v in full.items() if k not in body_headers}
    ours["Vary"], theirs["Vary"] = (", ".join(sorted(h["Vary"].split(", "))) for h in (ours, theirs))
    if "Last-Modified" not in theirs:  # its second was not over yet
        ours.pop("Last-Modified", None)
    assert ours == theirs


def test_two_changes_in_one_second_are_not_lost_to_dates(api: APIClient, url: str, tenant: Tenant) -> None:
    """P17: `Last-Modified` only once its second is over."""
    fill(tenant, 1)
    fresh = poll(api, url)
    assert not fresh.has_header("Last-Modified")
    settle_all()
    Scope.objects.update(modified_at=1_700_000_000)

    dated = poll(api, url)
    unchanged = api.get(url, headers={"If-Modified-Since": dated["Last-Modified"]})
    Item.objects.update(name="changed")
    later = api.get(url, headers={"If-Modified-Since": dated["Last-Modified"]})

    assert unchanged.status_code == 304
    assert names(later) == ["changed"]
    both = {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT", "If-None-Match": dated["ETag"]}
    assert api.get(url, headers=both).status_code == 200


def test_a_single_resource_has_its_own_tag(api: APIClient, alice: User, tenant: Tenant) -> None:
    """P18: it changes with the row and what it follows, and not with other rows."""
    item, other = fill(tenant, 2)
    url = f"/tenants/{tenant.pk}/items/{item.pk}/"
    api.credentials(HTTP_AUTHORIZATION="Token alice-token")
    etag = poll(api, url)["ETag"]
    Item.objects.filter(pk=other.pk).update(name="other")
    assert poll(api, url, etag).status_code == 304

    Part.objects.create(item=item, name="a")

    changed = poll(api, url, etag)
    assert changed.status_code == 200
    assert poll(api, url, changed["ETag"]).status_code == 304
    assert poll(api, f"/tenants/{tenant.pk}/items/99999/", changed["ETag"]).status_code == 404
    forget_everything()
    pruned = poll(api, url)["ETag"]
    item.labels.add(Label.objects.create(name="a"))
    assert poll(api, url, pruned).status_code == 200


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_a_write_names_the_state_that_it_changes(api: APIClient, alice: User, tenant: Tenant, method: str) -> None:
    """P18: 412 where it is another by now."""
    url = f"/tenants/{tenant.pk}/items/{fill(tenant, 1)[0].pk}/"
    api.credentials(HTTP_AUTHORIZATION="Token alice-token")
    etag = poll(api, url)["ETag"]
    Item.objects.update(name="theirs")

    refused = getattr(api, method)(url, {"name": "mine"}, headers={"If-Match": etag})
    done = getattr(api, method)(url, {"name": "mine"}, headers={"If-Match": poll(api, url)["ETag"]})

    assert (refused.status_code, refused["Cache-Control"]) == (412, "no-store")
    assert refused.json()["type"].endswith("precondition-failed")
    assert done.status_code < 300


def test_a_view_can_require_a_precondition(
    api: APIClient, alice: User, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P18: 428, after permissions."""
    monkeypatch.setattr(ItemViewSet, "requires_precondition", True)
    url = f"/tenants/{tenant.pk}/items/{fill(tenant, 1)[0].pk}/"
    assert api.delete(url).status_code == 401
    api.credentials(HTTP_AUTHORIZATION="Token alice-token")

    assert api.delete(url).status_code == 428
    assert api.delete(url, headers={"If-Match": poll(api, url)["ETag"]}).status_code == 204


def test_answers_are_private_unless_the_view_says_otherwise(
    api: APIClient, alice: User, tenant: Tenant, url: str
) -> None:
    """P19: `private` with `Vary`, or `public`."""
    assert poll(api, url)["Cache-Control"] == "public, max-age=1"
    assert not poll(api, url).has_header("Vary")

    api.credentials(HTTP_AUTHORIZATION="Token alice-token")
    private = poll(api, f"/tenants/{tenant.pk}/items/")

    assert private["Cache-Control"] == "private, max-age=0"
    assert {"Authorization", "Cookie"} <= set(private["Vary"].split(", "))


def test_equal_questions_get_equal_bytes(url: str, tenant: Tenant) -> None:
    """P20: cursors, tags and URLs are the same for all clients."""
    fill(tenant, 5)
    one, two = (poll(APIClient(), url, limit=2, status="new") for _ in range(2))

    assert one.content == two.content
    assert (one["ETag"], one["Link"]) == (two["ETag"], two["Link"])
    assert one["Link"].startswith(f"<{url}?limit=2&since=v1.")


@pytest.mark.parametrize("query", [{"limit": "x"}, {"since": "x"}, {"status": ["a"] * 2, "since": "v1.x"}])
def test_an_error_is_a_problem_that_nobody_stores(api: APIClient, url: str, query: dict[str, Any]) -> None:
    """P21: problem details."""
    answer = api.get(url, query)

    assert answer["Content-Type"] == "application/problem+json"
    assert answer["Cache-Control"] == "no-store"
    assert {"type", "title", "status", "detail"} <= set(answer.json())


def test_the_pace_is_told_on_200_and_304(api: APIClient, url: str) -> None:
    """P22: seconds."""
    with override_settings(POLLABLE_POLL_INTERVAL_SECONDS=2.5):
        answer = poll(api, url)
        assert answer["X-Poll-Interval"] == "2.5"
        assert poll(api, url, answer["ETag"])["X-Poll-Interval"] == "2.5"


def test_what_makes_no_sense_runs_no_sql(api: APIClient, url: str, django_assert_num_queries: Queries) -> None:
    """P23: 400 for another feed's cursor, too."""
    other = poll(api, "/logs/").json()["next_since"]

    with django_assert_num_queries(0):
        assert poll(api, url, since=other).json()["type"].endswith("invalid-cursor")
        assert poll(api, url, since="v1.nonsense").status_code == 400
        assert poll(api, url, limit="x").json()["type"].endswith("invalid-parameter")


def test_a_cursor_that_cannot_be_continued_is_gone(
    api: APIClient, url: str, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P24: with the reason, and where to begin again."""
    other = Tenant.objects.create(name="b")
    fill(tenant, 2)
    answer = poll(api, url)
    start, etag = answer.json()["next_since"], answer["ETag"]

    def reason(where: str = url, **query: object) -> str:
        answer = poll(api, where, etag, **{"since": start, **query})
        assert answer.status_code == 410
        return str(answer.json()["reason"])

    assert reason(f"/open/{other.pk}/items/") == "scope-changed"
    assert reason(f"/open/{tenant.pk},{other.pk}/items/") == "scope-changed"
    assert reason(status="new") == "filter-changed"
    with override("de"):
        assert reason() == "schema-changed"
    with monkeypatch.context() as patch:
        patch.setattr(OpenItems, "representation_version", "2")
        assert reason() == "schema-changed"
    Item.objects.update(count=1)
    forget_everything()
    assert reason() == "history-pruned"
    start = poll(api, url).json()["next_since"]
    renew(feed_of(Item), "default")
    assert reason() == "epoch-changed"
    assert poll(api, url, since=start, limit=3).json()["restart"] == f"{url}?limit=3"


def test_a_first_sync_expires_by_the_head_at_its_start(api: APIClient, url: str, tenant: Tenant) -> None:
    """P25: not by its position."""
    fill(tenant, 4)
    forget_everything()
    first = poll(api, url, limit=2).json()
    assert len(names(poll(api, url, limit=2, since=first["next_since"]))) == 2

    Item.objects.update(count=1)
    forget_everything()

    assert poll(api, url, limit=2, since=first["next_since"]).json()["reason"] == "history-pruned"


def test_a_cursor_ahead_of_the_database_is_of_another_history(api: APIClient, url: str, tenant: Tenant) -> None:
    """P26: a restored backup."""
    fill(tenant, 2)
    start = poll(api, url).json()["next_since"]
    Scope.objects.update(sequence=1)

    assert poll(api, url, since=start).json()["reason"] == "epoch-changed"


def test_no_permission_is_what_the_view_says(api: APIClient, alice: User) -> None:
    """P27: whatever the polling parameters are."""
    url = f"/tenants/{Tenant.objects.create(name='b').pk}/items/"
    assert poll(api, url, since="nonsense").status_code == 401
    api.credentials(HTTP_AUTHORIZATION="Token alice-token")

    assert poll(api, url, since="nonsense").status_code == 403
    assert poll(api, url).json() == poll(api, url, since="nonsense", limit="x").json()


def test_rows_that_the_queryset_hides_are_not_named(
    api: APIClient, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.shop.views import DraftlessItems

    url = f"/open/{tenant.pk}/draftless/"
    start = poll(api, url).json()["next_since"]
    secret = Item.objects.create(tenant=tenant, status="draft")

    assert poll(api, url, since=start).json()["removed"] == []
    monkeypatch.setattr(DraftlessItems, "discloses_removed", True)
    assert poll(api, url, since=start).json()["removed"] == [str(secret.pk)]


def test_a_page_takes_at_most_four_queries(
    api: APIClient, url: str, tenant: Tenant, django_assert_max_num_queries: Queries
) -> None:
    items = fill(tenant, 5)
    start = poll(api, url).json()["next_since"]
    Item.objects.update(count=1)
    items[0].delete()
    settle_all()

    with django_assert_max_num_queries(4):
        body = poll(api, url, since=start).json()

    assert (len(body["items"]), len(body["removed"])) == (4, 1)


def test_an_ordinary_list_is_conditional_too(
    api: APIClient, tenant: Tenant, django_assert_num_queries: Queries
) -> None:
    fill(tenant, 25)
    url = f"/open/{tenant.pk}/numbered/"
    answer = poll(api, url, page=2, search="1", ordering="-name")
    assert answer.json()["count"] == 12

    with django_assert_num_queries(1):
        assert poll(api, url, answer["ETag"], page=2, search="1", ordering="-name").status_code == 304
    assert poll(api, url, answer["ETag"], page=1, search="1", ordering="-name").status_code == 200
    Item.objects.update(count=1)
    assert poll(api, url, answer["ETag"], page=2, search="1", ordering="-name").status_code == 200


def test_the_whole_feed_and_several_scopes_have_one_cursor(api: APIClient, tenant: Tenant) -> None:
    other = Tenant.objects.create(name="b")
    for url in ("/open/all/items/", f"/open/{tenant.pk},{other.pk}/items/"):
        start = poll(api, url).json()["next_since"]
        fill(tenant, 1)
        fill(other, 1)
        first = poll(api, url, since=start, limit=1).json()
        second = poll(api, url, since=first["next_since"], limit=1).json()
        assert [item["id"] for page in (first, second) for item in page["items"]] == list(
            Item.objects.order_by("pk").values_list("pk", flat=True)
        )[-2:]
        assert not second["has_more"]


def test_writes_of_the_viewset_stay_in_the_scope(api: APIClient, alice: User, tenant: Tenant) -> None:
    foreign = Item.objects.create(tenant=Tenant.objects.create(name="b"))
    url = f"/tenants/{tenant.pk}/items/"
    api.credentials(HTTP_AUTHORIZATION="Token alice-token")

    created = api.post(url, {"name": "new"})

    assert created.status_code == 201
    assert api.patch(f"{url}{created.json()['id']}/", {"name": "newer"}).json()["name"] == "newer"
    assert api.patch(f"{url}{foreign.pk}/", {"name": "mine"}).status_code == 404
    assert api.post(url, {"name": "x" * 99}).json()["errors"]["name"]
    assert api.delete(f"{url}{created.json()['id']}/").status_code == 204


def test_the_plan_does_not_grow_with_the_table(
    api: APIClient, url: str, tenant: Tenant, django_assert_num_queries: Queries
) -> None:
    fill(tenant, 3_000)
    settle_all()
    etag = poll(api, url)["ETag"]

    with django_assert_num_queries(1) as captured:
        assert poll(api, url, etag).status_code == 304
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {'QUERY PLAN ' if connection.vendor == 'sqlite' else ''}{captured[0]['sql']}")
        plan = str(cursor.fetchall())
    assert "Seq Scan on pollable_change" not in plan
    assert "pollable_change" not in plan


@pytest.mark.django_db(databases=["default", "archive"])
def test_p26_a_replica_that_lags_is_not_yet_available(
    api: APIClient, tenant: Tenant, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tenant, 3)
    since = poll(api, url, since="now").json()["next_since"]
    feed = Feed.objects.get(pk=feed_of(Item).id)
    feed.sequence = 0
    feed.save(using="archive", force_insert=True)
    monkeypatch.setattr(OpenItems, "queryset", Item.objects.using("archive"))

    answer = poll(api, url, since=since)

    assert (answer.status_code, answer["Retry-After"]) == (503, "1")
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.django_db(databases=["default", "archive"])
def test_p26_a_cursor_that_no_database_knows_has_expired(
    api: APIClient, tenant: Tenant, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tenant, 3)
    since = poll(api, url, since="now").json()["next_since"]
    feed = Feed.objects.get(pk=feed_of(Item).id)
    feed.sequence = 0
    feed.save(using="archive", force_insert=True)
    renew(feed_of(Item), "default")
    monkeypatch.setattr(OpenItems, "queryset", Item.objects.using("archive"))

    answer = poll(api, url, since=since)

    assert (answer.status_code, answer.json()["reason"]) == (410, "epoch-changed")


def test_p11_a_first_sync_ends_under_constant_inserts(api: APIClient, tenant: Tenant, url: str) -> None:
    fill(tenant, 10)
    answer = poll(api, url, limit=5).json()

    for _ in range(4):
        if not answer["has_more"]:
            break
        fill(tenant, 5)
        answer = poll(api, url, limit=5, since=answer["next_since"]).json()

    assert not answer["has_more"]
    assert len(poll(api, url, since=answer["next_since"]).json()["items"]) >= 5


def test_a_pace_that_rises_changes_the_tag(api: APIClient, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """P22: a cache or a client that holds the old pace is told the new one."""
    now = [0.0]
    monkeypatch.setattr(overload, "polls", overload.Traffic(lambda: now[0]))
    monkeypatch.setattr(OpenItems, "poll_interval_seconds", AdaptiveInterval(minimum=5, maximum=60, quiet_share=0))
    quiet = poll(api, url)
    for _ in range(9):
        overload.polls.begin()
    now[0] += 1000

    busy = poll(api, url, quiet["ETag"])

    assert (quiet["X-Poll-Interval"], busy["X-Poll-Interval"]) == ("5", "40")
    assert (busy.status_code, poll(api, url, busy["ETag"]).status_code) == (200, 304)


def is_refusal(answer: Any, status: int, code: str) -> bool:
    """Return whether an answer is a problem that nobody stores, and that tells when to come back."""
    return (
        (answer.status_code, answer["Content-Type"], answer["Cache-Control"])
        == (status, "application/problem+json", "no-store")
        and answer.json()["type"].endswith(f":{code}")
        and int(answer["Retry-After"]) >= 1
    )


def test_too_many_requests_are_told_when_to_come_back(
    api: APIClient, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P28: with the quotas, and before a precondition makes a 304."""
    cache.clear()
    monkeypatch.setattr(OpenItems, "throttle_classes", [PollableThrottle])
    monkeypatch.setattr(OpenItems, "throttle_scope", "polls", raising=False)
    monkeypatch.setattr(api_settings, "DEFAULT_THROTTLE_RATES", {"polls": "1/h"})
    first = poll(api, url)

    refused = poll(api, url, first["ETag"])

    assert is_refusal(refused, 429, "quota-exceeded")
    assert refused["RateLimit-Policy"] == '"1-in-3600";q=1;w=3600'
    assert re.fullmatch(r'"1-in-3600";r=0;t=\d+', refused["RateLimit"])
    assert int(refused["Retry-After"]) >= int(refused["RateLimit"].partition("t=")[2])


def test_a_database_that_cannot_be_reached_is_reduced_capacity(api: APIClient, url: str) -> None:
    """P29: whatever the database's error says is for the log."""

    def fail(*args: Any) -> None:
        raise OperationalError("connection refused: secret")

    with connection.execute_wrapper(fail):
        refused = poll(api, url)

    assert is_refusal(refused, 503, "temporary-reduced-capacity")
    assert b"secret" not in refused.content


def test_a_first_sync_waits_for_a_slot_and_a_delta_poll_does_not(api: APIClient, url: str) -> None:
    """P29: a storm of first syncs."""
    since = poll(api, url).json()["next_since"]

    with override_settings(POLLABLE_FIRST_SYNC_SLOTS=1), overload.first_sync_slot():
        assert is_refusal(poll(api, url), 503, "temporary-reduced-capacity")
        assert poll(api, url, since=since).status_code == 200
    assert poll(api, url).status_code == 200


def test_polls_can_be_paused_and_writes_go_on(api: APIClient, alice: User) -> None:
    """P29: an operator's switch."""
    url = f"/tenants/{Tenant.objects.create(name='alice').pk}/items/"
    api.credentials(HTTP_AUTHORIZATION="Token alice-token")
    overload.pause(60)

    assert is_refusal(poll(api, url), 503, "temporary-reduced-capacity")
    assert api.post(url, {"name": "new", "status": "open"}).status_code == 201
    cache.clear()


@pytest.fixture
def media(tmp_path: Path) -> Iterator[Path]:
    with override_settings(MEDIA_ROOT=tmp_path):
        yield tmp_path


def content(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


def test_a_byte_resource_is_served_by_ranges(api: APIClient, media: Path) -> None:
    """P30: one range and several, of the end and to the end; what is malformed is ignored."""
    (media / "data.txt").write_text("0123456789")

    def ranges(said: str, **headers: str) -> Any:
        return api.get("/files/data.txt", headers={"Range": said, **headers})

    one, several, none = ranges("bytes=2-3"), ranges("bytes=0-0,-2"), ranges("bytes=10-")
    assert (one.status_code, one["Content-Range"], content(one)) == (206, "bytes 2-3/10", b"23")
    assert several["Content-Type"].startswith("multipart/byteranges; boundary=")
    assert content(several).count(b"Content-Range: bytes ") == 2
    assert (none.status_code, none["Content-Range"]) == (416, "bytes */10")
    for ignored in ("items=0-1", "bytes=3-2", "bytes=x"):
        assert content(ranges(ignored)) == b"0123456789"
    head = api.head("/files/data.txt", headers={"Range": "bytes=2-3"})
    assert (head.status_code, head["Content-Length"], content(head)) == (200, "10", b"")
    (media / "data.txt").touch()
    assert ranges("bytes=2-3", **{"If-Range": '"other"'}).status_code == 200


def test_a_range_holds_for_a_tag_or_a_date(api: APIClient, media: Path) -> None:
    """P30: `If-Range`."""
    (media / "data.txt").write_text("0123456789")
    os.utime(media / "data.txt", (1, 1_700_000_000))
    whole = api.get("/files/data.txt")

    for held in (whole["ETag"], whole["Last-Modified"]):
        assert api.get("/files/data.txt", headers={"Range": "bytes=2-", "If-Range": held}).status_code == 206
    for failed in ("W/" + whole["ETag"], "Tue, 14 Nov 2023 22:13:21 GMT"):
        assert api.get("/files/data.txt", headers={"Range": "bytes=2-", "If-Range": failed}).status_code == 200


def test_a_log_goes_on_while_it_grows_and_begins_anew_when_it_is_rotated(api: APIClient, media: Path) -> None:
    """P30: `bytes=<size>-` is 416 until there is more; a tag holds as long as the log begins with what it named."""
    log = media / "build.log"
    log.write_text("one\n")
    etag = api.get("/logs/build.log")["ETag"]
    following = {"Range": "bytes=4-", "If-Range": etag}

    still = api.get("/logs/build.log", headers=following)
    assert (still.status_code, still["Content-Range"]) == (416, "bytes */4")
    assert api.get("/logs/build.log", headers={**following, "If-None-Match": etag}).status_code == 304
    log.write_text("one\ntwo\n")
    assert content(api.get("/logs/build.log", headers=following)) == b"two\n"
    log.write_text("another log\n")
    anew = api.get("/logs/build.log", headers=following)
    assert (anew.status_code, content(anew)) == (200, b"another log\n")


def test_a_feed_has_no_ranges(api: APIClient, url: str, tenant: Tenant) -> None:
    """P30: `Range` is ignored."""
    fill(tenant, 2)

    answer = api.get(url, headers={"Range": "bytes=0-9"})

    assert (answer.status_code, answer["Accept-Ranges"], len(names(answer))) == (200, "none", 2)
