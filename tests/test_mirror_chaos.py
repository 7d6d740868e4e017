"""A mirror that is killed while writers write ends with exactly their rows."""

from __future__ import annotations

import pytest

from tests.chaos import chaos

pytestmark = pytest.mark.chaos


def test_a_mirror_ends_with_exactly_the_rows_of_the_server(database: str) -> None:
    run = chaos(module="tests.chaos.mirroring", DATABASE_URL=database)

    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
