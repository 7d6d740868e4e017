"""When to ask again: the spread of `Retry-After`, and intervals that rise with load and quiet."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from django.core.exceptions import ImproperlyConfigured


def retry_after(seconds: float, *, spread: float, draw: Callable[[], float] = random.random) -> int:
    """
    Return what `Retry-After` says: `seconds` and up to `spread` more, each whole second as likely, at least 1.

    Clients that are refused together must not come back together: `spread` (seconds) should be no
    less than their poll interval. `draw` gives numbers from 0 up to 1.
    """
    return max(1, math.ceil(seconds)) + int(draw() * (spread + 1))


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What an interval can go by."""

    load: float
    """Polls under way in this process, on average over the last seconds."""
    quiet_seconds: float
    """Since the newest change of the feed."""


@dataclass(frozen=True, slots=True)
class AdaptiveInterval:
    """
    An interval that doubles from `minimum` up to `maximum` (seconds).

    It rises in proportion to the load above `full_load`, and to `quiet_share` of the time that the
    feed has been quiet. Steps of two keep it, and so the tag of a page, the same most of the time.

    Raises:
        ImproperlyConfigured: a value that cannot be.
    """

    minimum: float
    maximum: float
    full_load: float = 1.0
    quiet_share: float = 0.05

    def __post_init__(self) -> None:
        if not (0 < self.minimum <= self.maximum and self.full_load > 0 and self.quiet_share >= 0):
            raise ImproperlyConfigured(f"{self} cannot be: let 0 < minimum <= maximum, and 0 < full_load.")

    def __call__(self, circumstances: Circumstances) -> float:
        wanted = max(self.minimum * circumstances.load / self.full_load, self.quiet_share * circumstances.quiet_seconds)
        doublings = max(0, math.floor(math.log2(max(wanted, self.minimum) / self.minimum)))
        return min(math.ldexp(self.minimum, doublings), self.maximum)
