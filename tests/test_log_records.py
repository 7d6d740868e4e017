"""The fields of log records, in the code and in the reference."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import django_pollable
from django_pollable.client import machine, tailing

PACKAGE = Path(django_pollable.__file__).parent
REFERENCE = PACKAGE.parent / "docs/reference/signals.md"
SOURCE = "".join(path.read_text() for path in sorted(PACKAGE.rglob("*.py")))
CALL = re.compile(r"\blogger\.(?:debug|info|warning|error|exception|critical|log)\((?:[^()]|\([^()]*\))*\)")
EVENT = re.compile(r'"pollable_event": "([a-z-]+)"')
FIELD = re.compile(r'"(pollable_(?:event|feed|database|reason|status))"')


def test_each_log_record_has_fields_of_ours() -> None:
    calls = CALL.findall(SOURCE)

    assert len(calls) == len(re.findall(r"\blogger\.(?!addHandler)", SOURCE)) >= 9
    assert [call for call in calls if "extra=" not in call] == []


def test_the_reference_lists_each_event_and_field() -> None:
    table = REFERENCE.read_text().partition("## Log records")[2]
    rows = [line.split("|")[1:] for line in table.splitlines() if line.startswith("| `")]
    listed = {name for row in rows for name in re.findall("`([a-z-]+)`", row[0])}
    fields = {name for row in rows for name in re.findall("`(pollable_[a-z]+)`", row[3])}

    of_clients = {f"client-{kind}" for kind in get_args(machine.Kind)}
    of_tails = {f"tail-{kind}" for kind in get_args(tailing.Kind)}
    assert listed == {*EVENT.findall(SOURCE)} | of_clients | of_tails
    assert fields | {"pollable_event"} == {*FIELD.findall(SOURCE)}
