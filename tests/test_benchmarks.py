"""The benchmarks: that they run, and that the documentation says what they find."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

from tests.benchmarks.measurements import CONNECTIONS, STATEMENTS, Measurement, Measurements
from tests.benchmarks.tables import Table, number, put

ROOT = Path(__file__).parent.parent
REMEMBERED = "304, private feed, token and head remembered"
COSTS = ROOT / "docs" / "explanation" / "costs.md"


def run(folder: Path, *arguments: str) -> str:
    """Run a module of the benchmarks on the database of the tests, in which it makes one of its own."""
    environment = os.environ.copy()
    if "sqlite" in environment.get("DATABASE_URL", "sqlite"):
        environment["DATABASE_URL"] = f"sqlite:///{folder}/rows.sqlite3"
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def cells(markdown: str) -> dict[tuple[str, str], str]:
    """Return what a table in Markdown says, by its rows and columns."""
    header, _, *rows = (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in markdown.splitlines() if "|" in line
    )
    return {(row[0], column): cell for row in rows for column, cell in zip(header, row, strict=True)}


def test_the_documentation_says_who_notices_which_writes(tmp_path: Path) -> None:
    _, _, documented = COSTS.read_text().partition("<!-- notices -->")

    found = cells(run(tmp_path, "tests.benchmarks.notices", "--markdown"))

    assert found.items() <= cells(documented.partition("<!-- end -->")[0]).items()
    assert {cell for (_, column), cell in found.items() if column == "this package"} == {"yes"}


def test_what_is_remembered_is_answered_without_a_connection(tmp_path: Path) -> None:
    printed = run(tmp_path, "tests.benchmarks.reads", "reads", "--sizes", "150", "250", "--rounds", "1")

    found = Measurements(Measurement(**json.loads(line)) for line in printed.splitlines())
    (database,) = found.databases
    for size in (150, 250):
        assert found.get(database, size, REMEMBERED, STATEMENTS) == 0
        assert found.get(database, size, REMEMBERED, CONNECTIONS) == 0


def test_rows_are_lost_by_what_is_taken_before_the_commit_alone(tmp_path: Path) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time")

    found = cells(run(tmp_path, "tests.benchmarks.commit_order", "2", "--markdown"))

    assert {cell for (_, column), cell in found.items() if column == "this package"} == {"0.00 %"}
    longest = next(name for name, _ in found if name.endswith(": 200 ms"))
    assert all(float(found[longest, column].split()[0]) > 5 for column in ("highest id", "newest `updated_at`"))


def test_an_installation_waits_for_who_holds_the_table(tmp_path: Path) -> None:
    printed = run(tmp_path, "tests.benchmarks.adoption", "100", "0.5")

    *_, held = (json.loads(line) for line in printed.splitlines())
    assert "held for 0.5 s" in held["what"]
    assert held["seconds"] >= 0.25  # it begins a little after the table was taken


def test_a_ratio_is_of_the_same_database_and_size() -> None:
    found = Measurements(
        [
            Measurement("SQLite", 10, "ours", "seconds", 3),
            Measurement("SQLite", 10, "theirs", "seconds", 2),
            Measurement("SQLite", 100, "ours", "seconds", 6),
        ]
    )

    assert found.ratio("SQLite", 10, "ours", "theirs", "seconds") == 1.5
    assert found.ratio("SQLite", 100, "ours", "theirs", "seconds") is None
    assert found.growth("SQLite", "ours", "seconds") == 2


def test_a_table_is_printed_for_terminals_and_documents() -> None:
    table = Table("costs", "Costs", ["what", "ms"], [["a page", "12.5"]])

    assert table.text() == "Costs\n\nwhat      ms\n------  ----\na page  12.5\n"
    assert table.markdown() == "Costs\n\n| what | ms |\n| --- | ---: |\n| a page | 12.5 |\n"


def test_a_table_takes_the_place_of_an_older_one() -> None:
    table = Table("costs", "Costs", ["what"], [["a page"]])

    document = put(table, put(table, "# Costs\n<!-- costs -->\nold\n<!-- end -->\nMore."))

    assert document == f"# Costs\n<!-- costs -->\n\n{table.markdown()}\n<!-- end -->\nMore."
    assert put(table, "has no place") == "has no place"


@pytest.mark.parametrize(("value", "text"), [(None, "-"), (0.123, "0.12"), (12.34, "12.3"), (1234.5, "1234")])
def test_a_number_has_as_many_digits_as_matter(value: float | None, text: str) -> None:
    assert number(value) == text
