"""The code of the documentation of monitoring."""

from __future__ import annotations

import json
import logging.config
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from django_pollable.ledger import history
from django_pollable.ledger.options import feed_of
from tests.shop.models import Item

TEXT = (Path(__file__).parent.parent / "docs/how-to/monitoring.md").read_text()
FORMATTER, SETTINGS = re.findall(r"```python\n(# mysite/logs.py.*?|# settings.py\nLOGGING.*?)```", TEXT, re.DOTALL)
EXAMPLE = json.loads(re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)[0])


@pytest.fixture
def _json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Log as the page says."""
    module, settings = ModuleType("mysite.logs"), dict[str, Any]()
    exec(FORMATTER, vars(module))
    exec(SETTINGS, settings)
    monkeypatch.setitem(sys.modules, "mysite", ModuleType("mysite"))
    monkeypatch.setitem(sys.modules, "mysite.logs", module)
    monkeypatch.setattr(sys.modules["mysite"], "logs", module, raising=False)
    logging.config.dictConfig(settings["LOGGING"])
    yield
    logger = logging.getLogger("django_pollable")
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)


@pytest.mark.usefixtures("_json")
@pytest.mark.django_db(transaction=True)
def test_the_formatter_writes_the_line_that_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()  # what making the database has said
    history.renew(feed_of(Item), "default")

    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line) | {"time": "..."} == EXAMPLE


def test_each_alert_is_explained() -> None:
    rules = (Path(__file__).parent.parent / "docs/monitoring/rules.yml").read_text()

    assert set(re.findall(r"- alert: (\w+)", rules)) == set(re.findall(r"`(Pollable[A-Z]\w+)`", TEXT))
