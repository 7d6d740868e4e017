"""A time that tests move on."""

from __future__ import annotations


class Clock:
    """Tells a time (seconds) that goes on when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now
