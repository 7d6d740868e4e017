"""What the middleware and the listeners count."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import Error
from django.db import OperationalError, connection, transaction
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import include, path
from rest_framework.decorators import api_view
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from django_pollable.checks.metrics import MIDDLEWARE, check_metrics
from django_pollable.decorators import ratelimit, shed_load
from django_pollable.ledger import history
from django_pollable.ledger.options import feed_of
from django_pollable.ledger.sequencer import settle_all
from tests.factories import CountryFactory, ItemFactory, LogFactory
from tests.samples import Samples
from tests.shop.models import Item, Tenant
from tests.shop.views import File, OpenItems


class SlowRenderer(JSONRenderer):
    def render(self, *args: Any, **kwargs: Any) -> Any:
        time.sleep(0.05)
        return super().render(*args, **kwargs)


class Slow(OpenItems):
    renderer_classes = [SlowRenderer]
    varies_by_user = True


class Broken(OpenItems):
    def get_scope(self) -> Any:
        raise LookupError("a bug")


@ratelimit(key="ip", rate="1/h")
def limited(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@api_view(["GET", "POST"])
@shed_load(max_concurrent=1)
def shed(request: Request) -> Response:
    return Response()


def unpolled(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


urlpatterns = [
    path("slow/<tenants>/", Slow.as_view(), name="slow"),
    path("broken/<tenants>/", Broken.as_view(), name="broken"),
    path("limited/", limited, name="limited"),
    path("shed/", shed, name="shed"),
    path("unpolled/", unpolled, name="unpolled"),
    path("file/<name>", File.as_view(), name="file"),
    path("shop/", include(([path("<tenants>/", OpenItems.as_view(), name="items")], "shop"))),
    path("", include("tests.urls")),
]
pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db(transaction=True)]
OUTAGES = "django_pollable.middleware.OutageMiddleware"


@pytest.fixture(autouse=True)
def _switched_on() -> Iterator[None]:
    with override_settings(MIDDLEWARE=[MIDDLEWARE, OUTAGES]):
        yield


@pytest.fixture
def samples() -> Samples:
    import django_pollable.metrics  # noqa: F401 -- as the application does where it is switched on

    return Samples()


@pytest.fixture
def url() -> str:
    return f"/shop/{ItemFactory().tenant.pk}/"


def test_polls_are_counted_by_view_and_status(client: Client, samples: Samples, url: str) -> None:
    first = client.get(url)
    client.get(url, headers={"If-None-Match": first["ETag"]})
    client.head(url, {"limit": 0})
    client.get(url, {"since": "what"})

    assert samples("pollable_polls_total", view="shop:items", status="200") == 1
    assert samples("pollable_polls_total", view="shop:items", status="304") == 1
    assert samples("pollable_polls_total", view="shop:items", status="400") == 2
    assert samples("pollable_polls_total") == samples("pollable_poll_duration_seconds_count") == 4


def test_what_is_no_poll_is_not_counted(client: Client, samples: Samples) -> None:
    client.get("/unpolled/")
    client.get("/nowhere/")
    client.post("/shed/")
    client.post("/edited/countries/", {"code": "x"})

    assert samples("pollable_polls_total") == 0


def test_views_behind_decorators_are_counted(client: Client, samples: Samples) -> None:
    client.get("/limited/")
    client.get("/limited/")
    client.get("/shed/")

    assert samples("pollable_polls_total", view="limited", status="200") == 1
    assert samples("pollable_polls_total", view="limited", status="429") == 1
    assert samples("pollable_polls_total", view="shed", status="200") == 1


def test_ranges_are_counted_and_their_bytes(client: Client, samples: Samples, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * 1000)

    with override_settings(MEDIA_ROOT=tmp_path):
        parts = [client.get("/file/log", headers={"Range": part}) for part in ("bytes=0-99", "bytes=1000-")]
        whole = client.get("/file/log")
    for answer in (*parts, whole):
        answer.close()

    assert [samples("pollable_polls_total", view="file", status=status) for status in ("206", "416", "200")] == [
        1,
        1,
        1,
    ]
    assert samples("pollable_answer_size_bytes_sum", view="file") == 1100
    assert samples("pollable_first_syncs_total") == 0


def test_a_bug_is_counted_as_500(samples: Samples) -> None:
    answer = Client(raise_request_exception=False).get("/broken/1/")

    assert answer.status_code == 500
    assert samples("pollable_polls_total", view="broken", status="500") == 1


def test_an_outage_outside_of_the_view_is_counted_as_503(
    client: Client, samples: Samples, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    monkeypatch.setattr(transaction.Atomic, "__enter__", fail)

    assert client.get(url).status_code == 503
    assert samples("pollable_polls_total", view="shop:items", status="503") == 1


def test_rare_statuses_share_a_series(samples: Samples, url: str) -> None:
    for status in (402, 418):
        with override_settings(MIDDLEWARE=[MIDDLEWARE, f"{__name__}.answering_{status}"]):
            assert Client().get(url).status_code == status

    assert samples("pollable_polls_total", view="shop:items", status="4xx") == 2


def answering_402(get_response: Any) -> Any:
    return lambda request: HttpResponse(get_response(request).content, status=402)


def answering_418(get_response: Any) -> Any:
    return lambda request: HttpResponse(get_response(request).content, status=418)


def test_the_time_of_a_poll_has_its_rendering_in_it(client: Client, samples: Samples) -> None:
    client.get(f"/slow/{ItemFactory().tenant.pk}/")

    assert 0.05 <= samples("pollable_poll_duration_seconds_sum", view="slow") < 5


def test_sizes_are_those_of_the_bodies_that_are_sent(client: Client, samples: Samples, url: str) -> None:
    page = client.get(url)
    client.get(url, headers={"If-None-Match": page["ETag"]})
    client.head(url)

    assert samples("pollable_answer_size_bytes_sum", view="shop:items") == len(page.content)
    assert samples("pollable_answer_size_bytes_count", view="shop:items") == 1


def test_a_first_sync_is_counted_once(client: Client, samples: Samples, url: str) -> None:
    ItemFactory(tenant_id=int(url.split("/")[2]))
    first = client.get(url, {"limit": 1}).json()
    client.get(url, {"limit": 1, "since": first["next_since"]})
    others = (f"/countries/{CountryFactory().pk}/", f"/logs/?after_id={LogFactory().pk}")

    assert [client.get(other).status_code for other in others] == [200, 200]
    assert samples("pollable_first_syncs_total", view="shop:items") == 1
    assert samples("pollable_first_syncs_total") == 1


def test_expired_cursors_are_counted_by_reason(client: Client, samples: Samples, url: str) -> None:
    cursor = client.get(url).json()["next_since"]
    history.renew(feed_of(Item), "default")

    assert client.get(url, {"since": cursor}).status_code == 410
    assert samples("pollable_cursors_expired_total", view="shop:items", reason="epoch-changed") == 1
    assert samples("pollable_cursors_expired_total") == 1


def test_shared_pages_are_counted_by_outcome(client: Client, samples: Samples, url: str) -> None:
    for _ in range(3):
        client.get(url)

    assert samples("pollable_shared_pages_total", view="shop:items", outcome="rendered") == 1
    assert samples("pollable_shared_pages_total", view="shop:items", outcome="hit") == 2


def test_settled_notes_are_counted_by_feed_and_database(samples: Samples) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite numbers at once")
    settle_all(feed_of(Item), using="default")
    before = samples("pollable_settled_notes_total")
    ItemFactory.create_batch(3, tenant=Tenant.objects.create(name="a"))
    settle_all(feed_of(Item), using="default")

    assert samples("pollable_settled_notes_total", feed="shop.item", database="default") - before == 3
    assert 0 < samples("pollable_settle_duration_seconds_sum", feed="shop.item") < 60


def test_polls_of_an_asynchronous_server_are_counted(samples: Samples) -> None:
    assert asyncio.run(AsyncClient().get("/limited/")).status_code == 200
    assert samples("pollable_polls_total", view="limited", status="200") == 1


SWITCHED_ON = {"DJANGO_SETTINGS_MODULE": "tests.chaos.settings", "POLLABLE_CHAOS_METRICS": "1"}
POLL = """
import django; django.setup()
from django.core.management import call_command
from django.test import Client
from django.test.utils import setup_test_environment
call_command("migrate", verbosity=0)
print(*(Client().get("/logs/").status_code for _ in range(3)))
"""


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    known = {"DJANGO_SETTINGS_MODULE": "tests.settings", "DATABASE_URL": "sqlite://:memory:"}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=os.environ | known | environment, capture_output=True, text=True, check=True)


def test_metrics_that_fail_break_no_poll_and_say_so_once() -> None:
    told = run(POLL, PROMETHEUS_MULTIPROC_DIR="/nowhere", **SWITCHED_ON)

    assert told.stdout == "200 200 200\n"
    assert told.stderr.count("polls cannot be counted") == 1


def test_nothing_is_imported_where_metrics_are_switched_off() -> None:
    program = "import django, sys; django.setup(); print('prometheus_client' in sys.modules)"

    assert run(program).stdout == "False\n"
    assert run(program, **SWITCHED_ON).stdout == "True\n"


def test_e050_metrics_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_metrics(None) == []

    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    (problem,) = check_metrics(None)

    assert isinstance(problem, Error)
    assert (problem.id, "django-pollable[metrics]" in str(problem.hint)) == ("pollable.E050", True)
    with override_settings(MIDDLEWARE=[]):
        assert check_metrics(None) == []
