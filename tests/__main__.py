"""`python3 -m tests`: the tests on every database that is there."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
from urllib.parse import urlsplit

from example_project.bootstrap import ROOT, ensure_environment, install_extra

DATABASES = {
    "sqlite": ("SQLite", "sqlite://:memory:", ""),
    "postgresql": ("PostgreSQL", "postgresql://postgres@127.0.0.1:5432/postgres", "postgres"),
    "mysql": ("MariaDB or MySQL", "mysql://root@127.0.0.1:3306/test", "mysql"),
}
DRIVERS = {"postgres": "psycopg", "mysql": "MySQLdb"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python3 -m tests", description="Other options go to pytest.")
    parser.add_argument("--database", action="append", choices=DATABASES, help="only this one; may be repeated")
    parser.add_argument("--require", default="", help="databases (by comma) whose absence is a failure")
    options, arguments = parser.parse_known_args()
    required = set(filter(None, options.require.split(",")))
    if required - DATABASES.keys():
        parser.error(f"--require takes some of {', '.join(DATABASES)}, not {options.require}.")
    ensure_environment("tests", ["example", "test"])
    results: dict[str, str] = {}
    for name in options.database or DATABASES:
        title, default, extra = DATABASES[name]
        url = os.environ.get(f"POLLABLE_{name.upper()}_URL", default)
        reason = why_not(url, extra)
        if reason:
            results[title] = f"{'FAILED' if name in required else 'skipped'}: {reason}"
            continue
        print(f"== {title} ==", flush=True)
        command = [sys.executable, "-m", "pytest", *arguments]
        environment = {"DATABASE_URL": url} | ({"POLLABLE_ANOTHER_DATABASE": "1"} if results else {})
        code = subprocess.call(command, cwd=ROOT, env=os.environ | environment)
        results[title] = "passed" if code == 0 else f"FAILED: pytest exited with {code}"
    print("\n".join(f"{title}: {result}" for title, result in results.items()))
    sys.exit(any(result.startswith("FAILED") for result in results.values()))


def why_not(url: str, extra: str) -> str:
    """Return why the database cannot be used, or an empty text."""
    if not extra:
        return ""
    address = urlsplit(url)
    with socket.socket() as probe:
        probe.settimeout(2)
        if probe.connect_ex((address.hostname or "127.0.0.1", address.port or 0)) != 0:
            return f"no server at {address.hostname}:{address.port}"
    if not _has_driver(extra) and not (install_extra(extra) and _has_driver(extra)):
        return f"its driver could not be installed (extra `{extra}`)"
    return ""


def _has_driver(extra: str) -> bool:
    command = [sys.executable, "-c", f"import {DRIVERS[extra]}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    main()
