"""
What schemathesis finds in the example project, served with each database: nothing.

`POLLABLE_FUZZ_EXAMPLES` (requests of each operation, 8) and `POLLABLE_FUZZ_SEED` (1) let it look longer and elsewhere.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services import Gunicorn, module

pytestmark = pytest.mark.fuzz
FOLDER = Path(__file__).parent / "fuzz"
ALICE = ["--auth-wfc", f"{FOLDER}/users.yml", "--auth-wfc-user", "alice"]
NOBODY = ["--phases", "fuzzing"]
SEED = """
from example_project.board import logs
from example_project.board.models import Build
for build in Build.objects.order_by("pk")[:5]: logs.begin(build.pk, "a line that a range may ask for")
"""


@pytest.fixture
def board(database: str, tmp_path: Path) -> Iterator[Gunicorn]:
    module("schemathesis")
    environment = {"DATABASE_URL": database, "MEDIA_ROOT": f"{tmp_path}/media"}
    server = Gunicorn(tmp_path, environment, workers=1, settings="tests.fuzz.settings")
    for command in (["seed"], ["shell", "-c", SEED]):
        subprocess.run([sys.executable, "-m", "django", *command], env=server.environment, check=True)
    yield server
    server.stop()


def fuzz(board: Gunicorn, *who: str) -> subprocess.CompletedProcess[str]:
    examples, seed = os.environ.get("POLLABLE_FUZZ_EXAMPLES", "8"), os.environ.get("POLLABLE_FUZZ_SEED", "1")
    options = ["--max-examples", examples, "--seed", seed, "--no-color", "--checks", "all", *who]
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "--config-file",
        f"{FOLDER}/schemathesis.toml",
        "run",
        *options,
    ]
    url = f"http://127.0.0.1:{board.port}/api/schema/"
    return subprocess.run([*command, url], capture_output=True, text=True, check=False)


def test_every_request_is_answered_as_the_schema_says(board: Gunicorn) -> None:
    for who in (ALICE, NOBODY):
        found = fuzz(board, *who)
        assert found.returncode == 0, found.stdout + found.stderr
    assert "Traceback" not in board.log.read_text()
