"""The exchanges that `docs/reference/wire.md` shows, asked of a server: a view for each kind."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.urls import path
from rest_framework.authtoken.models import Token
from rest_framework.routers import SimpleRouter

from django_pollable import overload
from django_pollable.decorators import ratelimit
from django_pollable.ledger import history
from django_pollable.ledger.options import feed_of
from tests.documents import STATUS
from tests.shop import views
from tests.shop.models import Item, Log, Tenant

PRIVATE = "/api/tenants/1/items/"
TOKEN = {"Authorization": "Token alice-token"}
UNTOLD = {"Server", "Connection", "Last-Modified"}
"""What is another server's matter, or is told only when its second is over. So is the length of a 304."""

CURSOR = re.compile(r"(v1\.[\w-]{8})[\w-]+")

VARYING = [
    (STATUS, r"\1"),
    (r"(?m)^(ETag|If-[\w-]+): .*$", r"\1: tag"),
    (r"v1\.[\w-]+\.\.\.", "cursor"),
    (r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT", "date"),
    (r"(Retry-After: |t=)\d+", r"\1n"),
]
"""What differs from one run or Python to the next, and what stands for it in comparisons."""


class GuardedItems(views.ItemViewSet):
    requires_precondition = True


@ratelimit(key="ip", rate="1/h", name="polls")
class LimitedItems(views.OpenItems):
    """One request an hour."""


class BuildLog(views.GrowingLog):
    content_type = "text/plain; charset=utf-8"
    poll_interval_seconds = 1


router = SimpleRouter()
router.register("api/tenants/(?P<tenant>[0-9]+)/items", views.ItemViewSet)
router.register("api/guarded/(?P<tenant>[0-9]+)/items", GuardedItems, basename="guarded")
urlpatterns = [
    path("api/public/<tenants>/items/", views.OpenItems.as_view()),
    path("api/limited/<tenants>/items/", LimitedItems.as_view()),
    path("api/log-lines/", views.Logs.as_view()),
    path("logs/<name>", BuildLog.as_view()),
    *router.urls,
]


@dataclass(frozen=True)
class Exchange:
    """A request, and the answer to it: as text, and what the next request needs."""

    request: str
    status: str
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def etag(self) -> dict[str, str]:
        return {"If-None-Match": dict(self.headers)["ETag"]}

    @property
    def next_since(self) -> str:
        return str(json.loads(self.body)["next_since"])

    def __str__(self) -> str:
        untold = UNTOLD | ({"Content-Length"} if " 304 " in self.status else set())
        lines = [f"{name}: {value}" for name, value in self.headers if name not in untold]
        parts = [self.request.strip(), "", self.status, *lines, *(["", self._text] if self.body else [])]
        return CURSOR.sub(r"\1...", "\n".join(parts))

    @property
    def _text(self) -> str:
        if "json" not in dict(self.headers)["Content-Type"]:
            return self.body.decode().replace("\r\n", "\n").strip()
        members = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in json.loads(self.body).items()]
        return "\n".join(["{", ",\n".join(members), "}"])


def comparable(text: str) -> str:
    """Return the text of an exchange without what differs from run to run."""
    for pattern, word in VARYING:
        text = re.sub(pattern, word, text)
    return text


def exchanges(port: int) -> Iterator[tuple[str, Exchange]]:
    """Give each exchange by its name, with the server at `port`, whose database is empty."""
    _fill()

    def ask(target: str, method: str = "GET", body: str = "", **headers: Any) -> Exchange:
        return _ask(port, f"{method} {target} HTTP/1.1", body, {"Host": "example.com", **headers})

    for part in (_reads, _refusals, _writes, _public, _logs):
        yield from part(ask)


Ask = Callable[..., Exchange]
Named = Iterator[tuple[str, Exchange]]


def _reads(ask: Ask) -> Named:
    yield "first sync", (first := ask(f"{PRIVATE}?limit=2", **TOKEN))
    yield "first sync ends", (last := ask(f"{PRIVATE}?limit=2&since={first.next_since}", **TOKEN))
    place = f"{PRIVATE}?limit=2&since={last.next_since}"
    yield "unchanged", ask(place, **TOKEN, **last.etag)
    yield "unchanged without a tag", ask(place, **TOKEN)
    Item.objects.filter(pk=2).update(status="shut")
    Item.objects.filter(pk=1).delete()
    yield "delta", (delta := ask(place, **TOKEN, **last.etag))
    yield "head", ask(place, "HEAD", **TOKEN)
    yield "now", (now := ask(f"{PRIVATE}?status=new&since=now", **TOKEN))
    Item.objects.filter(pk=3).update(status="shut")
    yield "left the filter", ask(f"{PRIVATE}?status=new&since={now.next_since}", **TOKEN)
    yield "too long ago", ask(f"{PRIVATE}?since=2020-01-01T00:00Z", **TOKEN)
    Log.objects.bulk_create(Log(pk=pk, text=f"line {pk}") for pk in (1, 2, 3))
    yield "after an id", ask("/api/log-lines/?after_id=2")
    history.renew(feed_of(Item), "default")
    yield "expired", ask(f"{PRIVATE}?limit=2&since={delta.next_since}", **TOKEN, **delta.etag)


def _refusals(ask: Ask) -> Named:
    yield "malformed", ask(f"{PRIVATE}?since=nonsense", **TOKEN)
    yield "limit", ask(f"{PRIVATE}?limit=0", **TOKEN)
    yield "stranger", ask(PRIVATE)
    ask("/api/limited/1/items/")
    yield "quota", ask("/api/limited/1/items/")
    overload.pause(seconds=60)
    overload.switch = overload.Switch()  # which has not looked yet
    yield "paused", ask(PRIVATE, **TOKEN)
    overload.resume()
    overload.switch = overload.Switch()


def _writes(ask: Ask) -> Named:
    one = f"{PRIVATE.replace('tenants', 'guarded')}3/"
    form = {"Content-Type": "application/json"}
    yield "one resource", (read := ask(one, **TOKEN))
    match = {"If-Match": read.etag["If-None-Match"]}
    yield "write", ask(one, "PATCH", '{"name": "new"}', **TOKEN, **match, **form)
    yield "write too late", ask(one, "PATCH", '{"name": "newer"}', **TOKEN, **match, **form)
    yield "write without a tag", ask(one, "PATCH", '{"name": "newer"}', **TOKEN, **form)


def _public(ask: Ask) -> Named:
    yield "public", ask("/api/public/1/items/")


def _logs(ask: Ask) -> Named:
    log = Path(settings.MEDIA_ROOT) / "build.log"
    log.write_bytes(b"compile\nlink\n")
    yield "range", (part := ask("/logs/build.log", Range="bytes=8-"))
    tag = part.etag["If-None-Match"]
    yield "range of nothing", ask("/logs/build.log", **{"Range": "bytes=13-", "If-Range": tag})
    log.write_bytes(b"compile\nlink\ntest\n")
    yield "range of more", ask("/logs/build.log", **{"Range": "bytes=13-", "If-Range": tag})


def _fill() -> None:
    tenant = Tenant.objects.create(pk=1, name="alice")
    Token.objects.create(user=User.objects.create_user("alice"), key="alice-token")
    Item.objects.bulk_create(Item(pk=pk, tenant=tenant, name=name) for pk, name in enumerate(("a", "b", "c"), 1))


def _ask(port: int, line: str, body: str, headers: dict[str, str]) -> Exchange:
    """Send a request as it is shown, but for `Connection`, and return the answer as it comes."""
    headers |= {"Content-Length": str(len(body))} if body else {}
    request = "\n".join([line, *(f"{name}: {value}" for name, value in headers.items()), "", body])
    head, _, content = request.partition("\n\n")
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(f"{head}\nConnection: close\n\n".replace("\n", "\r\n").encode() + content.encode())
        with connection.makefile("rb") as stream:
            answer = stream.read()
    head, _, received = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    fields = [(name, value) for name, _, value in (field.partition(": ") for field in lines)]
    return Exchange(request, status, fields, received)
