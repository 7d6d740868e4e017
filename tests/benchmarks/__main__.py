"""`python3 -m tests.benchmarks`: what polling and tracking cost, beside what others do."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from example_project.bootstrap import ROOT, ensure_environment
from tests.__main__ import DATABASES, why_not
from tests.benchmarks.measurements import Measurement, Measurements, progress
from tests.benchmarks.tables import Table, put

SIZES = (1_000, 10_000, 100_000, 1_000_000)
PARTS = ("reads", "instructions", "http", "writes", "adoption")
READS = PARTS[:3]
"""Those that are measured together, at each size."""
DEFAULT_DATABASES = ("sqlite", "postgresql")


def main() -> None:
    options = _options()
    ensure_environment("tests.benchmarks", ["example", "test"])
    parts = options.only or PARTS
    reads: list[Measurement] = []
    writes: list[dict[str, Any]] = []
    adoption: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for database, url in _urls(options.database or DEFAULT_DATABASES):
            place = f"sqlite:///{folder}/rows.sqlite3" if database == "sqlite" else url
            if chosen := [part for part in parts if part in READS]:
                sizes = map(str, options.sizes)
                reads += [Measurement(**one) for one in _collect("reads", place, *chosen, "--sizes", *sizes)]
            if "writes" in parts:
                writes += _collect("writes", url)
            if "adoption" in parts:
                adoption += _collect("adoption", place, str(max(options.sizes)))
    tables = _tables(reads, writes, adoption)
    for table in tables:
        print(table.markdown() if options.markdown else table.text())
    for path in options.document:
        document = path.read_text()
        for table in tables:
            document = put(table, document)
        path.write_text(document)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m tests.benchmarks")
    parser.add_argument("--only", action="append", choices=PARTS, help="only this part; may be repeated")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="rows of the table that is read")
    parser.add_argument("--database", action="append", choices=DATABASES, help="only this one; may be repeated")
    parser.add_argument("--markdown", action="store_true", help="print the tables for a document")
    parser.add_argument(
        "--document", action="append", default=[], type=Path, help="also put the tables into their places in this file"
    )
    return parser.parse_args()


def _urls(names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name in names:
        title, default, extra = DATABASES[name]
        url = os.environ.get(f"POLLABLE_{name.upper()}_URL", default)
        if reason := why_not(url, extra):
            progress(f"{title}: skipped: {reason}")
        else:
            yield name, url


def _collect(module: str, url: str, *arguments: str) -> list[dict[str, Any]]:
    """Run a module that measures, and return what it prints."""
    run = subprocess.run(
        [sys.executable, "-m", f"tests.benchmarks.{module}", *arguments],
        cwd=Path(ROOT),
        env=os.environ | {"DATABASE_URL": url},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in run.stdout.splitlines()]


def _tables(reads: list[Measurement], writes: list[dict[str, Any]], adoption: list[dict[str, Any]]) -> list[Table]:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.benchmarks.settings"
    import django

    django.setup()
    from tests.benchmarks import reports
    from tests.benchmarks.adoption import Adoption
    from tests.benchmarks.writes import Comparison

    tables = [*reports.tables(Measurements(reads))] if reads else []
    if writes:
        tables.append(reports.writes([Comparison(**one) for one in writes]))
    if adoption:
        tables.append(reports.adoption([Adoption(**one) for one in adoption]))
    return tables


if __name__ == "__main__":
    main()
