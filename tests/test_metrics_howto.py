"""The code of the documentation of monitoring."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs/how-to/monitoring.md").read_text()
FORMATTER, SETTINGS = re.findall(r"```python\n(# mysite/logs.py.*?|# settings.py\nLOGGING.*?)```", TEXT, re.DOTALL)
EXAMPLE = json.loads(re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)[0])


def test_the_formatter_writes_the_line_that_is_shown(tmp_path: Path) -> None:
    (tmp_path / "mysite").mkdir()
    (tmp_path / "mysite/logs.py").write_text(FORMATTER)
    (tmp_path / "mysite/settings.py").write_text(f"from tests.settings import *\n{SETTINGS}")
    environment = os.environ | {
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "DJANGO_SETTINGS_MODULE": "mysite.settings",
        "PYTHONPATH": f"{tmp_path}:{ROOT}",
    }

    for command in (["migrate", "-v0", "--skip-checks"], ["pollable", "--skip-checks", "epoch", "shop.item"]):
        line = [sys.executable, "-m", "django", *command]
        told = subprocess.run(line, env=environment, capture_output=True, text=True, check=True)

    assert json.loads(told.stderr) | {"time": "..."} == EXAMPLE


def test_each_alert_is_explained() -> None:
    rules = (ROOT / "docs/monitoring/rules.yml").read_text()

    assert set(re.findall(r"- alert: (\w+)", rules)) == set(re.findall(r"`(Pollable[A-Z]\w+)`", TEXT))
