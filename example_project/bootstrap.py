"""An environment for the commands of this repository, made with nothing but Python."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = ROOT / "pyproject.toml"
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(?:\[(?P<extras>[^\]]*)\])?(?:>=(?P<version>[\d.]+))?")


def ensure_environment(extras: Sequence[str]) -> None:
    """
    Return if this interpreter has what the project and `extras` require; else run the module again in `.venv`.

    The environment is made when it is missing, and brought up to date when pyproject.toml has changed.

    Raises:
        SystemExit: Python is too old, or the environment cannot be made.
    """
    if sys.version_info < (3, 11):  # noqa: UP036 -- nothing has checked it yet
        sys.exit(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}.")
    missing = [requirement for requirement in _requirements(extras) if not _is_installed(requirement)]
    if not missing:
        return
    if not _is_up_to_date(extras):
        print(f"Installing into {VENV}: {', '.join(missing)}", flush=True)
        if not install(extras):
            sys.exit(f"{VENV} could not be made: see above. It needs Python's venv module and a package index.")
    elif Path(sys.prefix) == VENV:
        sys.exit(f"{VENV} lacks {', '.join(missing)}. Delete it and try again.")
    spec = sys.modules["__main__"].__spec__
    if spec is None or spec.parent is None:
        sys.exit("Run this with `python3 -m`.")
    os.execv(VENV_PYTHON, [str(VENV_PYTHON), "-m", spec.parent, *sys.argv[1:]])


def install(extras: Sequence[str], *, is_quiet: bool = False) -> bool:
    """Install the project and `extras` into `.venv`, editable, and return whether that worked."""
    output = subprocess.DEVNULL if is_quiet else None
    commands = [[VENV_PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]]
    commands[0] += ["--editable", f"{ROOT}[{','.join(extras)}]"]
    if not VENV_PYTHON.exists():
        commands.insert(0, [sys.executable, "-m", "venv", "--clear", VENV])
    for command in commands:
        if subprocess.run(command, check=False, stdout=output, stderr=output).returncode != 0:
            return False
    _stamp(extras).write_text(_digest())
    return True


def _is_up_to_date(extras: Sequence[str]) -> bool:
    stamp = _stamp(extras)
    return VENV_PYTHON.exists() and stamp.exists() and stamp.read_text() == _digest()


def _stamp(extras: Sequence[str]) -> Path:
    return VENV / f"installed-{'-'.join(extras)}"


def _digest() -> str:
    return hashlib.sha256(PYPROJECT.read_bytes()).hexdigest()


def _requirements(extras: Sequence[str]) -> Iterator[str]:
    """Yield the requirements of the project and `extras`, with those of extras that an extra names."""
    import tomllib  # new in Python 3.11

    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    yield from project["dependencies"]
    for extra in extras:
        for requirement in project["optional-dependencies"][extra]:
            match = REQUIREMENT.match(requirement)
            if match and match["name"] == project["name"]:
                yield from _requirements(match["extras"].split(","))
            else:
                yield requirement


def _is_installed(requirement: str) -> bool:
    """Return whether the distribution is there, and not older than the requirement's `>=`."""
    match = REQUIREMENT.match(requirement)
    if match is None:
        return False
    try:
        installed = metadata.version(match["name"])
    except metadata.PackageNotFoundError:
        return False
    return _numbers(installed) >= _numbers(match["version"] or "0")


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]
