"""How often the polls of a process look for pending changes, and settle them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

SETTLES_PER_SECOND = 10.0
SETTLE_BURST = 20.0
FULL_LOOK_SECONDS = 1.0
NEXT_TRY_SECONDS = 0.1
"""After a full look that found another process at work."""
READ_ONLY_SECONDS = 60.0
"""How long a database is taken for read-only before it is asked again."""

Place = tuple[str, int]
"""A database's alias and a feed's id."""


class Pace:
    """A burst of settles, then `SETTLES_PER_SECOND`; a full look each `FULL_LOOK_SECONDS`. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens: dict[Place, tuple[float, float]] = {}
        self._next_looks: dict[Place, float] = {}
        self._read_only: dict[str, tuple[float, bool]] = {}

    def is_full_look_due(self, place: Place) -> bool:
        """Return whether it is time to look at all pending changes, older ones that were committed late too."""
        return self._clock() >= self._next_looks.get(place, float("-inf"))

    def looked(self, place: Place, *, is_complete: bool) -> None:
        """Know that a full look was taken; where it is not complete another is due soon."""
        self._next_looks[place] = self._clock() + (FULL_LOOK_SECONDS if is_complete else NEXT_TRY_SECONDS)

    def may_settle(self, place: Place) -> bool:
        """Return whether the feed may be settled now, and count it as done."""
        with self._lock:
            now = self._clock()
            tokens, since = self._tokens.get(place, (SETTLE_BURST, now))
            tokens = min(SETTLE_BURST, tokens + (now - since) * SETTLES_PER_SECOND)
            self._tokens[place] = (tokens - 1 if tokens >= 1 else tokens, now)
            return tokens >= 1

    def is_read_only(self, using: str, ask: Callable[[], bool]) -> bool:
        """Return what `ask` says of the database `using`, from memory where it was asked lately."""
        asked_at, answer = self._read_only.get(using, (float("-inf"), True))
        if self._clock() - asked_at >= READ_ONLY_SECONDS:
            answer = ask()
            self._read_only[using] = (self._clock(), answer)
        return answer
