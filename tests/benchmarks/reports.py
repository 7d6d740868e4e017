"""The tables that are made of what was measured."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import django
import rest_framework

from tests.benchmarks.adoption import Adoption
from tests.benchmarks.cases import CASES, GROWTH, OURS, TARGETS, UNIT
from tests.benchmarks.measurements import CONNECTIONS, CPU, INSTRUCTIONS, RATE, SECONDS, STATEMENTS, Measurements
from tests.benchmarks.tables import Table, number
from tests.benchmarks.writes import Comparison

HEADLINE_ROWS = 100_000
SHORT = {INSTRUCTIONS: "million instructions", SECONDS: "µs"}
SCALE = {INSTRUCTIONS: 1e-6, SECONDS: 1e6}
UNCHANGED = {
    "304, public feed": "this package, a public feed",
    "304, private feed, our token": "this package, a private feed and its token",
    "hand-written keyset, empty page": "delta by `updated_at`, an empty page",
    "Django's `condition`, newest, 304": "Django's `condition`, newest `updated_at`",
    "Django's `condition`, newest and count, 304": "Django's `condition`, newest and count",
    "ConditionalGetMiddleware over a DRF list, 304": "`ConditionalGetMiddleware`, hash of the page",
    "DRF CursorPagination, first page": "`CursorPagination`, which has no answer for it: the first page",
    "drf-extensions' ETAGMixin, 304": "drf-extensions' `ETAGMixin`",
    "drf-extensions' APIETAGMixin, 304": "drf-extensions' `APIETAGMixin`",
}
"""What a poll is called that finds nothing new."""

IN_PROCESS = "SQLite"
"""The database whose own work is in the instructions, too."""

NO_STATEMENT = "304, private feed, token and head remembered"


def tables(found: Measurements) -> Iterator[Table]:
    """Give all tables for which there are numbers."""
    if found.has(INSTRUCTIONS) or found.has(SECONDS):
        yield reads(found)
        yield targets(found)
    if len(found.sizes) > 1:
        yield growth(found)
        if found.has(INSTRUCTIONS):
            yield comparison(found)
    if found.has(RATE):
        yield over_http(found)


def _headline(found: Measurements) -> int:
    return HEADLINE_ROWS if HEADLINE_ROWS in found.sizes else found.sizes[-1]


def _cost(found: Measurements) -> str:
    """Return the unit that compares best: instructions, whatever the machine is busy with."""
    return INSTRUCTIONS if found.has(INSTRUCTIONS) else SECONDS


def reads(found: Measurements) -> Table:
    """Return what each case costs, on each database, and as a multiple of an empty view of REST framework."""
    size = _headline(found)
    units = [unit for unit in (INSTRUCTIONS, SECONDS) if found.has(unit)]
    columns = ["one request"]
    for database in found.databases:
        columns += [f"{database}: {SHORT[units[0]]}", "x"]
        columns += [name for unit in units[1:] for name in (SHORT[unit], "x")]
        columns += ["SQL"] if found.has(STATEMENTS) else []
    title = f"Reads of a table of {size:,} rows; x is a multiple of `{UNIT}`, SQL the number of statements"
    table = Table("reads", title, columns)
    for case in CASES:
        cells = [case]
        for database in found.databases:
            for unit in units:
                value = found.get(database, size, case, unit)
                cells.append(number(None if value is None else value * SCALE[unit]))
                cells.append(number(found.ratio(database, size, case, UNIT, unit)))
            if found.has(STATEMENTS):
                cells.append(number(found.get(database, size, case, STATEMENTS), 0))
        table.rows.append(cells)
    return table


def targets(found: Measurements) -> Table:
    """Return what was to be reached, and whether it is."""
    size, unit = _headline(found), _cost(found)
    columns = ["ratio", "target"]
    for database in found.databases:
        columns += [database, ""]
    table = Table("targets", f"Targets, in {unit}, at {size:,} rows", columns)
    for target in TARGETS:
        cells = [f"{target.this} / {target.against}", f"{'>=' if target.is_least else '<='} {target.limit:g}"]
        for database in found.databases:
            ratio = found.ratio(database, size, target.this, target.against, unit)
            cells += [number(ratio), _verdict(None if ratio is None else target.is_met(ratio))]
        table.rows.append(cells)
    cells = [f"{NO_STATEMENT}: connections opened", "0"]
    for database in found.databases:
        opened = found.get(database, size, NO_STATEMENT, CONNECTIONS)
        cells += [number(opened, 0), _verdict(None if opened is None else not opened)]
    table.rows.append(cells)
    return table


def growth(found: Measurements) -> Table:
    """Return how many times the smallest table's cost the largest one's is."""
    small, large = found.sizes[0], found.sizes[-1]
    columns = ["one request", "target"]
    for database in found.databases:
        columns += [f"{database}: instructions", "", "time"]
    table = Table("growth", f"A table of {large:,} rows / of {small:,}", columns)
    ours = {case.name for case in OURS}
    for case in CASES:
        cells = [case, f"<= {GROWTH:g}" if case in ours else ""]
        for database in found.databases:
            ratio = found.growth(database, case, INSTRUCTIONS)
            cells += [number(ratio), _verdict(ratio <= GROWTH) if ratio is not None and case in ours else ""]
            cells.append(number(found.growth(database, case, SECONDS)))
        table.rows.append(cells)
    return table


def comparison(found: Measurements) -> Table:
    """Return what a poll costs that finds nothing new, and how many times as much in the largest table."""
    size, (small, *_, large) = _headline(found), found.sizes
    columns = ["a poll that finds nothing new", *(f"{database}: million instructions" for database in found.databases)]
    if IN_PROCESS in found.databases:
        columns.append(f"{IN_PROCESS}: {large:,} rows / {small:,}")
    table = Table("comparison", f"The web process, {size:,} rows; {versions()}", columns)
    for case, name in UNCHANGED.items():
        costs = [found.get(database, size, case, INSTRUCTIONS) for database in found.databases]
        cells = [name, *(number(None if cost is None else cost * SCALE[INSTRUCTIONS]) for cost in costs)]
        if IN_PROCESS in found.databases:
            cells.append(number(found.growth(IN_PROCESS, case, INSTRUCTIONS)))
        table.rows.append(cells)
    return table


def over_http(found: Measurements) -> Table:
    """Return how many answers a second one process gives, and what one costs it."""
    size = found.sizes[-1]
    columns = ["one request"]
    for database in found.databases:
        columns += [f"{database}: answers/s", "CPU ms", "x"]
    title = f"Over HTTP, gunicorn with one process, {size:,} rows: answers a second, processor time x `{UNIT}`"
    table = Table("http", title, columns)
    for case in CASES:
        cells = [case]
        for database in found.databases:
            cost = found.get(database, size, case, CPU)
            cells += [number(found.get(database, size, case, RATE)), number(None if cost is None else cost * 1e3)]
            cells.append(number(found.ratio(database, size, case, UNIT, CPU)))
        table.rows.append(cells)
    return table


def _verdict(is_met: bool | None) -> str:
    return "" if is_met is None else "met" if is_met else "NOT met"


def writes(found: list[Comparison]) -> Table:
    """Return what the triggers cost those who write."""
    table = Table(
        "writes",
        "Writes: with the triggers and without",
        ["", "this", "against", "ratio", "target", "", "note"],
    )
    for one in found:
        ratio = None if one.against is None else one.value
        target = "" if one.limit is None else f"{'>=' if one.is_least else '<='} {one.limit:g}"
        cells = [f"{one.database}: {one.name}", number(one.this), number(one.against), number(ratio), target]
        table.rows.append([*cells, _verdict(one.is_met), one.note])
    return table


def adoption(found: list[Adoption]) -> Table:
    """Return how long an installation takes, and who waits for it."""
    rows = max(one.rows for one in found)
    columns = ["", "took, s", "longest write, ms", "longest read, ms"]
    table = Table("adoption", f"A table of {rows:,} rows that others write to and read; {versions()}", columns)
    for one in found:
        cells = [number(one.seconds), number(one.write * 1e3, 0), number(one.read * 1e3, 0)]
        table.rows.append([f"{one.database}: {one.what}", *cells])
    return table


def versions() -> str:
    """Return what was measured: the commit, and what it ran on."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    python = ".".join(map(str, sys.version_info[:2]))
    found = [f"Python {python}", f"Django {django.__version__}", f"Django REST framework {rest_framework.VERSION}"]
    return ", ".join([f"commit {commit.strip()}"] * bool(commit) + found)
