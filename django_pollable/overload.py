"""What a process has under way, and the switch by which an operator holds polls off."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import InterfaceError, OperationalError

from django_pollable.caches import attempt, shared_cache
from django_pollable.conf import conf
from django_pollable.exceptions import ReducedCapacity
from django_pollable.pacing import retry_after

__all__ = ["pause", "resume"]

logger = logging.getLogger(__name__)

LOAD_SECONDS = 10.0
"""Over how long a load is averaged."""

PAUSED = "pollable:paused"
LOOK_SECONDS = 1.0
"""How long a process remembers whether polls are paused."""

SQLITE_ERROR = 1
"""SQLite's code for whatever is wrong with a statement, which the driver calls an operational error, too."""
MYSQL_ERRORS = (1054, 1305, 1364)
"""The same of MySQL and MariaDB: no such column, no such function, a column without a default."""


class Traffic:
    """The requests of a kind under way in this process: now, and on average. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._count = 0
        self._load = 0.0
        self._since = clock()

    def begin(self, *, most: int | None = None) -> bool:
        """Count one more, unless `most` are under way; return whether it may go on. `end` must follow."""
        with self._lock:
            if most is not None and self._count >= most:
                return False
            self._pass_time()
            self._count += 1
            return True

    def end(self) -> None:
        """Count one less."""
        with self._lock:
            self._pass_time()
            self._count -= 1

    @property
    def load(self) -> float:
        """How many have been under way, on average over the last seconds."""
        with self._lock:
            self._pass_time()
            return self._load

    def _pass_time(self) -> None:
        now = self._clock()
        weight = math.exp((self._since - now) / LOAD_SECONDS)
        self._load = self._count + (self._load - self._count) * weight
        self._since = now


class Switch:
    """Whether polls are paused: asked of the shared cache, and remembered for a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._is_paused = False
        self._looked_at = float("-inf")

    @property
    def is_paused(self) -> bool:
        """Return whether an operator holds polls off; False where the cache is down."""
        now = self._clock()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._is_paused = attempt(lambda: bool(shared_cache().get(PAUSED)), otherwise=False)
        return self._is_paused


polls = Traffic()
first_syncs = Traffic()
switch = Switch()


def pause(seconds: float | None) -> None:
    """Hold off polls in all processes, for some seconds or until `resume`, which they notice within a second."""
    shared_cache().set(PAUSED, True, seconds)


def resume() -> None:
    """Let polls through again."""
    shared_cache().delete(PAUSED)


def refuse_if_paused() -> None:
    """
    Raises:
        ReducedCapacity: an operator holds polls off.
    """
    if switch.is_paused:
        raise reduced_capacity("Polling is paused.")


def reduced_capacity(detail: str) -> ReducedCapacity:
    """
    Return the error that tells a client to come back later than others: after the spread, and up to it again.

    Who came back at once would ask more often than in quiet times, and a server that recovers would feel it.
    """
    spread = conf.retry_after_spread_seconds
    return ReducedCapacity(detail, retry_after=retry_after(spread, spread=spread))


def is_outage(error: Exception) -> bool:
    """Return whether `error` says that the database cannot be reached or is busy, and not that a query is wrong."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    sqlite_code = getattr(error.__cause__, "sqlite_errorcode", None)
    if sqlite_code is not None:
        return bool(sqlite_code & 0xFF != SQLITE_ERROR)
    return not (error.args and error.args[0] in MYSQL_ERRORS)


def outage(error: Exception) -> ReducedCapacity:
    """Return the error that stands for a database that cannot be reached, and log the cause."""
    logger.error("the database failed", exc_info=error, extra={"pollable_event": "database-outage"})
    return reduced_capacity("The database cannot be reached.")


@contextmanager
def first_sync_slot() -> Iterator[None]:
    """
    Take one of the slots for first syncs, so that a storm of them leaves room for other polls.

    Raises:
        ReducedCapacity: none is free.
    """
    if not first_syncs.begin(most=conf.first_sync_slots):
        raise reduced_capacity("Too many clients do a first sync.")
    try:
        yield
    finally:
        first_syncs.end()
