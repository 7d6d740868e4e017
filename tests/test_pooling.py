"""A pool that gives no client a connection of its own: nothing of a poll needs a session."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from django.db import connection

from tests.chaos import chaos
from tests.clusters import PgBouncer
from tests.services import Postgres

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(connection.vendor != "sqlite", reason="has servers of its own: runs once, with SQLite"),
]


def test_no_client_loses_a_row_where_each_transaction_has_another_connection(
    postgres: Postgres, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        pool = PgBouncer(postgres, tmp_path)
        stack.callback(pool.stop)
        run = chaos(DATABASE_URL=pool.url)

    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "ERROR:  prepared statement" not in postgres.log
    assert "does not exist" not in postgres.log
