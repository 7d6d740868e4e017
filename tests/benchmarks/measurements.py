"""What benchmarks give each other: one number each."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass

INSTRUCTIONS, SECONDS, STATEMENTS, CONNECTIONS = "instructions", "seconds", "statements", "connections"
RATE, CPU = "answers a second over HTTP", "CPU seconds an answer over HTTP"


@dataclass(frozen=True)
class Measurement:
    """A `value` of a case at a table's `size`, in `unit`."""

    database: str
    size: int
    case: str
    unit: str
    value: float

    def print(self) -> None:
        """Write it for the process that collects."""
        print(json.dumps(asdict(self)), flush=True)


class Measurements:
    """All that was measured."""

    def __init__(self, found: Iterable[Measurement]) -> None:
        self._values = {(one.database, one.size, one.case, one.unit): one.value for one in found}

    @property
    def databases(self) -> list[str]:
        return list(dict.fromkeys(database for database, *_ in self._values))

    @property
    def sizes(self) -> list[int]:
        return sorted({size for _, size, *_ in self._values})

    def has(self, unit: str) -> bool:
        return any(unit == measured for *_, measured in self._values)

    def get(self, database: str, size: int, case: str, unit: str) -> float | None:
        return self._values.get((database, size, case, unit))

    def ratio(self, database: str, size: int, case: str, against: str, unit: str) -> float | None:
        """Return how many times `against` the case costs."""
        this, other = (self.get(database, size, name, unit) for name in (case, against))
        return this / other if this is not None and other else None

    def growth(self, database: str, case: str, unit: str) -> float | None:
        """Return how many times the smallest table's cost the largest one's is."""
        small, large = (self.get(database, size, case, unit) for size in (self.sizes[0], self.sizes[-1]))
        return large / small if large is not None and small else None


def progress(text: str) -> None:
    """Tell the one who waits."""
    print(text, file=sys.stderr, flush=True)
