"""The code of the documentation of tests, run as a project of its own would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs/how-to/testing.md").read_text()
WITH_PYTEST, WITH_UNITTEST = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def run(code: str, folder: Path, *command: str) -> str:
    """Return what the tests `code` say, run by `command` in a folder that has nothing else."""
    (folder / "test_builds.py").write_text(code)
    environment = {"DJANGO_SETTINGS_MODULE": "example_project.settings", "DATABASE_URL": "sqlite://:memory:"}
    environment |= {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=os.environ | environment, capture_output=True, text=True
    )
    return done.stdout + done.stderr


def test_the_tests_for_pytest_pass(tmp_path: Path) -> None:
    said = run(WITH_PYTEST, tmp_path, "pytest", "-q", "-W", "error")

    assert re.search(r"^6 passed in", said, re.MULTILINE), said


def test_the_tests_for_unittest_pass(tmp_path: Path) -> None:
    said = run(WITH_UNITTEST, tmp_path, "django", "test")

    assert re.search(r"Ran 1 test .*\n\nOK", said), said


def test_the_message_about_a_relation_is_as_shown_and_tables_need_no_migrations(tmp_path: Path) -> None:
    said = run(WITH_PYTEST.replace("but=[Project]", ""), tmp_path, "pytest", "-q", "--nomigrations")
    (message,) = re.findall(r"```text\nAssertionError: (ProjectBuilds.*?)```", TEXT, re.DOTALL)

    assert re.search(r"^1 failed, 5 passed in", said, re.MULTILINE), said
    assert all(line in said for line in message.splitlines())
