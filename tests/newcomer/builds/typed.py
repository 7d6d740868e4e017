"""Uses that a type checker must see are right, and wrong ones: it complains of each comment that ignores nothing."""

from django.test import Client

from builds.models import Build, Project
from django_pollable.caching import CachePolicy
from django_pollable.client.answers import Page
from django_pollable.client.mirror import Mirror
from django_pollable.client.poller import Poller
from django_pollable.client.waits import Pace
from django_pollable.decorators import ratelimit
from django_pollable.models import register
from django_pollable.pacing import Circumstances
from django_pollable.testing import PollingClient
from django_pollable.views import PollableListAPIView


def follow(url: str) -> dict[str, str]:
    seen: dict[str, str] = {}

    def handle(page: Page) -> None:
        seen.update((key, page.next_since) for key in page.removed)

    with Poller(url, token="secret", pace=Pace(interval=2)) as poller:
        poller.catch_up(handle)
        poller.catch_up(Mirror())
        poller.catch_up(url)  # type: ignore[arg-type]
    return seen


def keys(client: Client, build: Build) -> set[str]:
    feed = PollingClient(client, "/projects/1/builds/")
    feed.assert_notices(build, "2")
    feed.assert_notices(2)  # type: ignore[arg-type]
    feed.assert_unchanged(max_queries="one")  # type: ignore[arg-type]
    return feed.sync()


def quick(circumstances: Circumstances) -> float:
    return 1 + circumstances.load


class Wrong(PollableListAPIView):
    cache_policy = "public"  # type: ignore[assignment]
    poll_interval_seconds = "60"  # type: ignore[assignment]


class Right(PollableListAPIView):
    cache_policy = CachePolicy.private()
    poll_interval_seconds = quick


Pace(interval="2")  # type: ignore[arg-type]
CachePolicy.public(max_age="1")  # type: ignore[arg-type]
ratelimit(key="user")  # type: ignore[call-arg]
register(Project, scope=("name",))
register("builds.Project")  # type: ignore[arg-type]
