"""The tables that are made of what was measured."""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks.cases import CASES, GROWTH, OURS, TARGETS, UNIT
from tests.benchmarks.measurements import CONNECTIONS, CPU, INSTRUCTIONS, RATE, SECONDS, STATEMENTS, Measurements
from tests.benchmarks.tables import Table, number
from tests.benchmarks.writes import Comparison

HEADLINE_ROWS = 100_000
SHORT = {INSTRUCTIONS: "million instructions", SECONDS: "µs"}
SCALE = {INSTRUCTIONS: 1e-6, SECONDS: 1e6}
NO_STATEMENT = "304, private feed, token and head remembered"


def tables(found: Measurements) -> Iterator[Table]:
    """Give all tables for which there are numbers."""
    if found.has(INSTRUCTIONS) or found.has(SECONDS):
        yield reads(found)
        yield targets(found)
    if len(found.sizes) > 1:
        yield growth(found)
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
