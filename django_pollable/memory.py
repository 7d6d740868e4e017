"""What a process remembers for a while, so that it need not ask again."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Remembered(Generic[V]):
    """
    Values that have an age: `size` of them at the most, those used last. Thread-safe.

    Args:
        size: how many values are kept.
        clock: gives the time (seconds); it never goes back.
    """

    def __init__(self, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._size = size
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, tuple[float, V]] = OrderedDict()
        self._forgot_at = float("-inf")

    def get(self, key: Hashable, max_age: float) -> V | None:
        """Return the value of `key` if it is younger than `max_age` seconds: none is younger than 0."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or self.clock() - entry[0] >= max_age:
                return None
            self._entries.move_to_end(key)
            return entry[1]

    def put(self, key: Hashable, value: V, *, asked_at: float | None = None) -> None:
        """
        Remember `value`, which was asked for at `asked_at` by the clock (default now): its age counts from there.

        What has been asked for before something was forgotten may be the very thing: it is not remembered.
        """
        with self._lock:
            if asked_at is not None and asked_at <= self._forgot_at:
                return
            self._entries[key] = self.clock() if asked_at is None else asked_at, value
            self._entries.move_to_end(key)
            if len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def forget(self, key: Hashable) -> None:
        """Forget the value of `key`, also one that another thread is asking for now."""
        with self._lock:
            self._forgot_at = self.clock()
            self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget everything, also what other threads are asking for now."""
        with self._lock:
            self._forgot_at = self.clock()
            self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)
