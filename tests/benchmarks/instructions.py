"""
`python -m tests.benchmarks.instructions CASE...`: what callgrind counts, whatever the machine is busy with.

It counts what runs inside `ffi_call`, which nothing but the measured calls goes through, and writes a file at each
return from it: one process measures many cases. The server of a database is another process: its work is not in it.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.pool import ThreadPool
from pathlib import Path

from tests.benchmarks.databases import use_database

MOST, BUDGET_SECONDS = 20, 1.5
SLOWNESS = 60
"""How many times longer everything takes under callgrind: as much longer things are remembered."""

INSIDE = "ffi_call"
CALLGRIND = ("valgrind", "--tool=callgrind", f"--toggle-collect={INSIDE}", f"--dump-after={INSIDE}")
PROCESSES = 2


def is_available() -> bool:
    """Return whether this machine has valgrind."""
    return shutil.which("valgrind") is not None


def count(cases: list[str], url: str) -> dict[str, float]:
    """Return the instructions of one request of each case in a process that uses the database `url`."""
    parts = [part for part in (cases[start::PROCESSES] for start in range(PROCESSES)) if part]
    with ThreadPool(PROCESSES) as pool:
        counts = pool.map(lambda part: _run(part, url), parts)
    return {case: value for part in counts for case, value in part.items()}


def _run(cases: list[str], url: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            [*CALLGRIND, f"--callgrind-out-file={folder}/out", sys.executable, "-m", __spec__.name, *cases],
            env=os.environ | {"PYTHONHASHSEED": "0", "DATABASE_URL": url},
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            raise RuntimeError(run.stderr)
        turns = json.loads(run.stdout)
        dumps = sorted(Path(folder).glob("out.*"), key=lambda dump: int(dump.suffix[1:]))[-len(cases) :]
        totals = [_total(dump) for dump in dumps]
    return {case: total / turn for case, total, turn in zip(cases, totals, turns, strict=True)}


def _total(dump: Path) -> int:
    found = re.search(r"^totals: (\d+)", dump.read_text(), re.MULTILINE)
    assert found, dump
    return int(found[1])


def counted(action: Callable[[], object]) -> None:
    """
    Call `action` so that callgrind counts it: C's binary search compares once among one thing.

    Raises:
        RuntimeError: `action` failed; ctypes has printed how.
    """
    done = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    def compare(_: int, __: int) -> int:
        action()
        done.append(True)
        return 0

    thing, one = ctypes.c_char(), ctypes.c_size_t(1)
    ctypes.CDLL(None).bsearch(ctypes.byref(thing), ctypes.byref(thing), one, one, compare)
    if not done:
        raise RuntimeError("what was to be counted failed")


def main(names: list[str]) -> None:
    """Request each case several times, and print how many times each."""
    use_database()
    print(json.dumps([_measure(name) for name in names]))


def _measure(name: str) -> int:
    from django.test import override_settings

    from tests.benchmarks.cases import CASES
    from tests.benchmarks.requests import prepared

    case = CASES[name]
    slow = {"POLLABLE_PUBLISH_SECONDS": 1} | case.settings
    with override_settings(**{key: value * SLOWNESS for key, value in slow.items()}):
        once = prepared(case)
        once()
        begin = time.perf_counter()
        once()
        turns = max(1, min(MOST, int(BUDGET_SECONDS / (time.perf_counter() - begin))))
        for _ in range(turns):
            once()  # Python makes often-run code faster
        gc.collect()
        gc.freeze()
        counted(lambda: [once() for _ in range(turns)])
    return turns


if __name__ == "__main__":
    main(sys.argv[1:])
