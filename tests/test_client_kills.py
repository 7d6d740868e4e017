"""A client that is killed loses nothing: real processes, a real socket, a quarter of the answers bad."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.kills import LIMIT

KILLS = int(os.environ.get("POLLABLE_KILLS", "15"))
pytestmark = [pytest.mark.chaos, pytest.mark.skipif(not hasattr(os, "fork"), reason="the clients are forks")]


def kill(mode: str) -> Any:
    command = [sys.executable, "-m", "tests.kills", mode, str(KILLS)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr
    print(run.stdout)
    return json.loads(run.stdout)


def test_no_kill_loses_a_row_and_each_repeats_a_page_at_most() -> None:
    """P31: stored once the page has been handled."""
    seen = kill("file")

    assert seen["head"] > KILLS * LIMIT
    assert seen["lost"] == 0
    assert seen["most_after_one_kill"] <= LIMIT


def test_a_checkpoint_in_the_handlers_transaction_repeats_nothing() -> None:
    seen = kill("transaction")

    assert (seen["lost"], seen["duplicated"]) == (0, 0)


def test_a_client_that_stores_before_it_handles_loses_rows() -> None:
    assert kill("control")["lost"] > 0
