"""What metrics of this process have counted since a test began."""

from __future__ import annotations

from prometheus_client import REGISTRY

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Samples:
    """The series that have grown, by name and labels."""

    def __init__(self) -> None:
        self._before = _read()

    def __call__(self, name: str, **labels: str) -> float:
        """Return how much the series of `name` that have these labels have grown, all together."""
        wanted = labels.items()
        return sum(
            value - self._before.get((found, known), 0)
            for (found, known), value in _read().items()
            if found == name and wanted <= known
        )


def _read() -> Series:
    samples = (sample for family in REGISTRY.collect() for sample in family.samples)
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
