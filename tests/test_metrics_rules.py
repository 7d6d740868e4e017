"""The rules and the dashboard for Prometheus and Grafana."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services import program

ROOT = Path(__file__).parent.parent
RULES, DASHBOARD = ROOT / "docs/monitoring/rules.yml", ROOT / "docs/monitoring/dashboard.json"
CASES = ROOT / "tests/data/rules_test.yml"
REFERENCE = ROOT / "docs/reference/metrics.md"
SUFFIXES = re.compile("_(bucket|sum|count)$")


def promtool(*arguments: str | Path) -> None:
    run = subprocess.run([program("promtool"), *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def expressions(panel: Any = None) -> Iterator[str]:
    """Yield what the dashboard asks Prometheus."""
    panel = json.loads(DASHBOARD.read_text()) if panel is None else panel
    for target in panel.get("targets", []):
        yield target["expr"].replace("$__rate_interval", "5m")
    for inner in panel.get("panels", []):
        yield from expressions(inner)


def test_prometheus_takes_the_rules() -> None:
    promtool("check", "rules", RULES)


def test_each_alert_fires_when_it_should() -> None:
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())

    assert set(alerts) == set(re.findall(r"- alertname: (\w+)", CASES.read_text()))
    promtool("test", "rules", CASES)


def test_prometheus_understands_the_dashboard(tmp_path: Path) -> None:
    rules = [{"record": f"dashboard:{number}", "expr": expr} for number, expr in enumerate(expressions())]
    file = tmp_path / "dashboard.json"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))

    assert len(rules) > 10
    promtool("check", "rules", file)


@pytest.mark.parametrize("text", ["\n".join(expressions()), RULES.read_text()], ids=["dashboard", "rules"])
def test_what_is_asked_for_is_there(text: str) -> None:
    exposed = set(re.findall(r"^\| `(pollable_\w+)`", REFERENCE.read_text(), re.MULTILINE))
    recorded = set(re.findall(r"- record: ([\w:]+)", RULES.read_text()))
    asked = set(re.findall(r"\b\w*:?pollable_[\w:]+", text)) - recorded

    assert {SUFFIXES.sub("", name) for name in asked} <= exposed
    assert len(asked) > 5
