"""`python -m tests.benchmarks.instructions KIND COUNT`: what callgrind counts, whatever the machine is busy with."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

FEW, MANY = 10, 60
CALLGRIND = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")


def is_available() -> bool:
    """Return whether this machine has valgrind."""
    return shutil.which("valgrind") is not None


def count(kind: str) -> float:
    """Return the instructions of one request of `kind` in this process, on SQLite in memory."""
    return (_run(kind, MANY) - _run(kind, FEW)) / (MANY - FEW)


def _run(kind: str, times: int) -> int:
    run = subprocess.run(
        [*CALLGRIND, sys.executable, "-m", "tests.benchmarks.instructions", kind, str(times)],
        env=os.environ | {"PYTHONHASHSEED": "0", "DATABASE_URL": "sqlite://:memory:"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"Collected : (\d+)", run.stderr)
    assert found, run.stderr
    return int(found[1])


def main(kind: str, times: int) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    from django.test.utils import override_settings, setup_databases, setup_test_environment

    setup_test_environment()
    setup_databases(verbosity=0, interactive=False, aliases={"default"})
    from tests.benchmarks import polls

    polls.fill(1_000)
    request = polls.requests(is_open=kind.startswith("open"))[kind.removeprefix("open ").removeprefix("remembered ")]
    with override_settings(POLLABLE_TOKEN_MAX_AGE_SECONDS=3600.0 if kind.startswith("remembered") else 0.0):
        for _ in range(times):
            request()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
