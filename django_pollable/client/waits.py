"""How long to wait: each wait has its jitter added after every limit, for a limit that comes last makes a herd."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

__all__ = ["Pace"]

LONGEST_SECONDS = 3600.0
"""What a server can ask for at the most."""
LARGEST_EXPONENT = 32

_SECONDS = re.compile(r"[0-9]{1,20}", re.ASCII)
_INTERVAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?", re.ASCII)
_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=([0-9]{1,20})(?:$|[,\s])", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Pace:
    """
    How a client polls.

    Attributes:
        interval: between polls that bring nothing (seconds). The server's own interval is a minimum.
        max_interval: what `interval` grows to on a quiet feed (seconds); not above it, no growth.
        backoff_cap: the widest jitter after failures (seconds). Below six intervals or so a server that
            comes back meets more than it can bear.
        drain_limit: pages that are asked for without a wait between them.
        revalidate_every: how often a 304 is not believed: so many in a row, then a request without a tag.
    """

    interval: float = 5.0
    max_interval: float = 0.0
    backoff_cap: float = 60.0
    drain_limit: int = 100
    revalidate_every: int = 50

    def __post_init__(self) -> None:
        if not (0 < self.interval <= LONGEST_SECONDS and self.backoff_cap > 0):
            raise ValueError("`interval` and `backoff_cap` are seconds above 0.")
        if self.drain_limit < 1 or self.revalidate_every < 1:
            raise ValueError("`drain_limit` and `revalidate_every` are at least 1.")

    def idle(self, quiet: int, *, minimum: float, draw: float) -> float:
        """Return the wait after `quiet` polls that brought nothing (seconds): within 20 %, never below `minimum`."""
        longest = max(self.max_interval, self.interval)
        wanted = min(self.interval * 1.5 ** min(quiet, LARGEST_EXPONENT), longest)
        lowest = max(0.8 * wanted, minimum)
        return lowest + draw * (1.2 * max(wanted, minimum) - lowest)

    def backoff(self, failures: int, *, minimum: float, retry_after: float, draw: float) -> float:
        """
        Return the wait after so many failures in a row (seconds): `retry_after`, then full jitter.

        The window is never narrower than the interval: what is narrower gathers the clients again.
        """
        interval = max(self.interval, minimum)
        window = math.ldexp(interval, min(failures - 1, LARGEST_EXPONENT))
        window = max(min(window, self.backoff_cap), interval, retry_after / 2)
        return retry_after + draw * window


def retry_after(headers: Mapping[str, str], *, now: float) -> float:
    """
    Return what `Retry-After` asks for (seconds), 0 where it says nothing that makes sense.

    A date counts from the answer's own `Date`, for the client's clock (`now`, Unix seconds) can be wrong.

    Source: RFC 9110 Section 10.2.3.
    """
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return min(float(value), LONGEST_SECONDS)
    then = _http_date(value)
    if then is None:
        return 0.0
    sent = _http_date(headers.get("date", ""))
    return min(max(then - (now if sent is None else sent), 0.0), LONGEST_SECONDS)


def server_interval(headers: Mapping[str, str]) -> float | None:
    """Return what `X-Poll-Interval` asks for (seconds), or None where it says nothing that makes sense."""
    value = headers.get("x-poll-interval", "").strip()
    return min(float(value), LONGEST_SECONDS) if _INTERVAL.fullmatch(value) else None


def freshness(headers: Mapping[str, str]) -> float:
    """
    Return how long a cache may still give this answer (seconds): asking sooner brings nothing.

    Source: RFC 9111 Section 4.2.
    """
    found = _MAX_AGE.search(headers.get("cache-control", ""))
    if found is None:
        return 0.0
    age = headers.get("age", "").strip()
    past = float(age) if _SECONDS.fullmatch(age) else 0.0
    return min(max(float(found[1]) - past, 0.0), LONGEST_SECONDS)


def _http_date(value: str) -> float | None:
    """Return the Unix time of a date (RFC 9110 Section 5.6.7), or None."""
    if ":" not in value:
        return None
    try:
        moment = parsedate_to_datetime(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
