"""The limit that chaos clients meet, each by its name."""

from typing import Any

from django_pollable.throttling import PollableThrottle


def name_of(request: Any) -> str:
    return str(request.headers.get("X-Client", ""))


class ChaosThrottle(PollableThrottle):
    scope = "chaos"
    key = staticmethod(name_of)
