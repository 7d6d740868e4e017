"""Writers that are killed, pruning, and clients that must end with exactly the server's rows."""

import os
import subprocess
import sys

SECONDS = os.environ.get("POLLABLE_CHAOS_SECONDS", "5")
REMEMBERED = {"POLLABLE_CHAOS_HEAD_SECONDS": "0.5", "POLLABLE_CHAOS_PUBLISH_SECONDS": "1"}
"""Heads from memory; pages are from there unless `POLLABLE_CHAOS_PAGE_SECONDS` is 0."""


def chaos(*arguments: str, module: str = "tests.chaos", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m <module>` for `POLLABLE_CHAOS_SECONDS`, with more variables of the environment."""
    return subprocess.run(
        [sys.executable, "-m", module, SECONDS, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
