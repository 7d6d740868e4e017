"""The architecture's page names the modules that there are, in the order of their layers."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from tests.documents import ROOT

ROW = re.compile(r"^\| `(\w+)` \| \S", re.M)


def layers_of(container: str) -> list[set[str]]:
    """Return the layers of `container` as pyproject.toml has them, the highest first."""
    tools: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    (contract,) = [one for one in tools["importlinter"]["contracts"] if one.get("containers") == [container]]
    return [set(layer.split(" | ")) for layer in contract["layers"]]


@pytest.mark.parametrize(
    ("heading", "container"),
    [("What each module owns", "django_pollable"), ("Within the ledger", "django_pollable.ledger")],
)
def test_the_page_names_each_module_once_in_the_order_of_the_layers(heading: str, container: str) -> None:
    page = (ROOT / "docs/explanation/architecture.md").read_text()
    section = re.split(r"^## ", page.split(f"\n## {heading}\n")[1], flags=re.M)[0]
    layers = layers_of(container)

    named = ROW.findall(section)

    assert sorted(named) == sorted(set.union(*layers))
    assert named == sorted(named, key=lambda name: next(i for i, layer in enumerate(layers) if name in layer))
