"""`python3 -m tests`: the tests on SQLite, and on each other database that answers."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from dataclasses import dataclass

from example_project.bootstrap import VENV, ensure_environment, install


@dataclass(frozen=True, slots=True)
class Database:
    """A database to test on; `extra` is the project's extra with its driver."""

    label: str
    url: str
    extra: str = ""


DATABASES = {
    "sqlite": Database("SQLite", "sqlite://:memory:"),
    "postgresql": Database(
        "PostgreSQL",
        os.environ.get("POLLABLE_POSTGRESQL_URL", "postgresql://postgres@127.0.0.1:5432/postgres"),
        "postgres",
    ),
    "mysql": Database("MariaDB", os.environ.get("POLLABLE_MYSQL_URL", "mysql://root@127.0.0.1:3306/test"), "mysql"),
}


def main() -> int:
    arguments, pytest_arguments = _parse()
    ensure_environment(["test"])
    results: dict[str, str] = {}
    has_failed = False
    for name in arguments.database:
        database = DATABASES[name]
        reason = _reason_to_skip(database)
        if reason:
            print(f"skipped: {database.label} ({reason})", flush=True)
            results[database.label] = f"skipped ({reason})"
            has_failed |= name in arguments.require
            continue
        print(f"{database.label}:", flush=True)
        is_passed = _run(database, pytest_arguments)
        results[database.label] = "passed" if is_passed else "failed"
        has_failed |= not is_passed
    print("; ".join(f"{label}: {result}" for label, result in results.items()))
    return int(has_failed)


def _parse() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="python3 -m tests",
        description="Run the tests on every database that answers. Other arguments go to pytest.",
        allow_abbrev=False,
    )
    every = ",".join(DATABASES)
    parser.add_argument("--database", type=_names, default=_names(every), help=f"only these; default: {every}")
    parser.add_argument("--require", type=_names, default=[], help="fail if one of these is skipped")
    arguments, rest = parser.parse_known_args()
    left_out = set(arguments.require) - set(arguments.database)
    if left_out:
        parser.error(f"--require: --database leaves out {', '.join(sorted(left_out))}")
    return arguments, rest


def _names(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in DATABASES:
            raise argparse.ArgumentTypeError(f"'{name}' is none of {', '.join(DATABASES)}")
    return names


def _reason_to_skip(database: Database) -> str:
    """Return why the database cannot be tested on, or "". Installs a missing driver into `.venv`, if that works."""
    reason, lacks_driver = _try_to_connect(database)
    if lacks_driver and str(VENV) == sys.prefix and install(["test", database.extra], is_quiet=True):
        importlib.invalidate_caches()
        reason, _ = _try_to_connect(database)
    return reason


def _try_to_connect(database: Database) -> tuple[str, bool]:
    """Return why a connection fails, or "", and whether the driver is what it lacks."""
