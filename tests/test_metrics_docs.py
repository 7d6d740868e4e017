"""The reference of the metrics lists what there is, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

import django_pollable.client.metrics  # noqa: F401 -- registers what it counts
from django_pollable.exposition import FeedCollector
from django_pollable.metrics import REASONS, STATUSES

TEXT = (Path(__file__).parent.parent / "docs/reference/metrics.md").read_text()
ROW = re.compile(r"^\| `(pollable_\w+)` \| (\w+) \|([^|]*)\|", re.MULTILINE)


@pytest.mark.django_db(databases=["default", "archive"])
def test_the_reference_lists_the_registry_with_types_and_labels() -> None:
    families = [family for family in REGISTRY.collect() if family.name.startswith("pollable_")]
    exposed = {
        (f"{family.name}_total" if family.type == "counter" else family.name, family.type)
        for family in (*families, *FeedCollector().collect())
    }
    listed = {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in ROW.findall(TEXT)}

    assert {(name, kind) for name, (kind, _) in listed.items()} == exposed
    for name, (_, labels) in listed.items():
        collector = REGISTRY._names_to_collectors.get(name)
        assert labels == getattr(collector, "_labelnames", labels)


def test_the_reference_lists_the_values_of_labels() -> None:
    _, _, text = TEXT.partition("## Labels")

    assert [int(status) for status in re.findall(r"\b\d{3}\b", text)] == list(STATUSES)
    assert all(f"`{reason}`" in text for reason in REASONS)
