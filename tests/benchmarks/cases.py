"""What is measured: ours, what others do instead, and how they have to compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.benchmarks import requests
from tests.benchmarks.peers import HAS_EXTENSIONS
from tests.benchmarks.requests import TOKENS, Ask, Prepare
from tests.benchmarks.rows import PROJECT

EXACT = {"POLLABLE_HEAD_MAX_AGE_SECONDS": 0, "POLLABLE_TOKEN_MAX_AGE_SECONDS": 0}
REMEMBERED = {"POLLABLE_HEAD_MAX_AGE_SECONDS": 1, "POLLABLE_TOKEN_MAX_AGE_SECONDS": 1}
UNKEPT = {"POLLABLE_PAGE_CACHE_SECONDS": 0}

PUBLIC, PRIVATE, QUICK = (Ask(f"/{name}/{PROJECT}/") for name in ("public", "private", "quick"))
PRIVATE, QUICK = PRIVATE.given(**TOKENS), QUICK.given(**TOKENS)


@dataclass(frozen=True)
class Case:
    """A request that is repeated, and the settings under which it is."""

    name: str
    first: Ask
    status: int = 200
    prepare: Prepare = requests.plain
    settings: Mapping[str, Any] = field(default_factory=EXACT.copy)
    is_ours: bool = False


def ours(name: str, first: Ask, prepare: Prepare, status: int = 200, settings: Mapping[str, Any] = EXACT) -> Case:
    """Return a case of this package."""
    return Case(name, first, status, prepare, settings, is_ours=True)


OURS = [
    ours("304, public feed", PUBLIC, requests.unchanged_delta, 304),
    ours("304, private feed, DRF's token", PRIVATE, requests.unchanged_delta, 304),
    ours("304, private feed, our token", QUICK, requests.unchanged_delta, 304),
    ours("304, private feed, token and head remembered", QUICK, requests.unchanged_delta, 304, REMEMBERED),
    ours("empty delta, public feed", PUBLIC, requests.empty_delta),
    ours("empty delta, private feed, our token", QUICK, requests.empty_delta),
    ours("page of 100, hot", PUBLIC, requests.plain),
    ours("page of 100, cold", PUBLIC, requests.plain, settings=UNKEPT),
    ours("first sync, deep page, cold", PUBLIC, requests.deep_sync, settings=UNKEPT),
    ours("delta of 100, deep in the history, cold", PUBLIC, requests.deep_delta, settings=UNKEPT),
]
PEERS = [
    Case("bare Django view, 200", Ask("/bare/")),
    Case("bare Django view, 304", Ask("/bare/unchanged/"), 304),
    Case("bare Django view, `get(pk)`, 304", Ask("/bare/get/"), 304),
    Case("empty DRF view", Ask("/empty/")),
    Case("empty DRF view, DRF's token", Ask("/empty/token/", TOKENS)),
    Case("empty DRF view, our token", Ask("/empty/quick/", TOKENS)),
    Case("empty DRF view, our token remembered", Ask("/empty/quick/", TOKENS), settings=REMEMBERED),
    Case("Django's `condition`, newest, 304", Ask("/dated/"), 304, requests.unchanged),
    Case("Django's `condition`, newest and count, 304", Ask("/counted/"), 304, requests.unchanged),
    Case("ConditionalGetMiddleware over a DRF list, 304", Ask("/hashed/"), 304, requests.unchanged),
    Case("DRF PageNumberPagination, first page", Ask("/numbered/")),
    Case("DRF PageNumberPagination, deep page", Ask("/numbered/"), 200, requests.deep_page),
    Case("DRF CursorPagination, first page", Ask("/cursor/")),
    Case("DRF CursorPagination, deep page", Ask("/cursor/"), 200, requests.deep_cursor),
    Case("hand-written keyset, first page", Ask("/keyset/")),
    Case("hand-written keyset, deep page", Ask("/keyset/"), 200, requests.deep_keyset),
    Case("hand-written keyset, empty page", Ask("/keyset/"), 200, requests.empty_keyset),
]
if HAS_EXTENSIONS:
    PEERS += [
        Case("drf-extensions' ETAGMixin, 304", Ask("/extensions/sql/"), 304, requests.unchanged),
        Case("drf-extensions' APIETAGMixin, 304", Ask("/extensions/rows/"), 304, requests.unchanged),
    ]
CASES = {case.name: case for case in [*OURS, *PEERS]}
UNIT = "empty DRF view"
"""What the others are given as a multiple of."""


@dataclass(frozen=True)
class Target:
    """What a ratio of two cases has to be: at most `limit`, or at least."""

    this: str
    against: str
    limit: float
    is_least: bool = False

    def is_met(self, ratio: float) -> bool:
        return ratio >= self.limit if self.is_least else ratio <= self.limit


TARGETS = [
    Target("empty DRF view, our token", "empty DRF view", 1.4),
    Target("empty DRF view, our token remembered", "empty DRF view", 1.2),
    Target("304, public feed", "empty DRF view", 1.25),
    Target("304, private feed, DRF's token", "empty DRF view, DRF's token", 1.1),
    Target("304, private feed, our token", "empty DRF view, our token", 1.1),
    Target("304, private feed, our token", "bare Django view, `get(pk)`, 304", 1.05),
    Target("304, private feed, token and head remembered", "bare Django view, 304", 1.75),
    Target("empty delta, public feed", "304, public feed", 1.15),
    Target("empty delta, private feed, our token", "304, private feed, our token", 1.15),
    Target("page of 100, hot", "empty DRF view", 1.8),
    Target("page of 100, cold", "page of 100, hot", 20, is_least=True),
    Target("page of 100, cold", "hand-written keyset, first page", 1.1),
]
GROWTH = 1.05
"""What the largest table may cost of the smallest (instructions)."""
