"""A first sync of a whole table through the Python client: killed, gone on with, and equal to the table in the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROWS = int(os.environ.get("POLLABLE_FIRST_SYNC_ROWS", "10000"))
KILLS = int(os.environ.get("POLLABLE_FIRST_SYNC_KILLS", "4"))
MEGABYTE = 2**20
pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="/proc tells the memory of a process"),
]


def test_a_first_sync_that_is_killed_again_and_again_ends_equal_to_the_table(database: str) -> None:
    """P9, P25; both sides hold a page in memory, and never the table."""
    command = [sys.executable, "-m", "tests.first_sync", str(ROWS), str(KILLS)]
    environment = os.environ | {"DATABASE_URL": database}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1200, check=False)
    assert run.returncode == 0, run.stderr
    print(run.stdout)
    seen = json.loads(run.stdout)

    assert (seen["missing"], seen["ghosts"], seen["stale"]) == (0, 0, 0)
    assert max(seen["server_peak"], seen["client_peak"]) < 160 * MEGABYTE
