"""The environment of the project's commands: made on a fresh machine, found again afterwards."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
MODULES = {
    "example": (
        "django",
        "rest_framework",
        "django_ratelimit",
        "django_filters",
        "drf_spectacular",
        "dj_database_url",
        "prometheus_client",
    ),
    "postgres": ("psycopg",),
    "mysql": ("MySQLdb",),
    "test": (
        "pytest",
        "pytest_django",
        "pytest_randomly",
        "pytest_cov",
        "factory",
        "hypothesis",
        "corsheaders",
        "gunicorn",
        "redis",
        "httpx2",
        "orjson",
    ),
}


def ensure_environment(module: str, extras: Sequence[str]) -> None:
    """Return where `extras` can be imported; else install them into `.venv` and run `module` there instead."""
    if sys.version_info < (3, 11):  # noqa: UP036 -- nothing has checked it yet
        sys.exit(f"Python 3.11 or later is needed; this is {sys.version.split()[0]}.")
    needed = [name for extra in extras for name in MODULES[extra]]
    if all(importlib.util.find_spec(name) for name in needed):
        return
    if Path(sys.prefix) == ENVIRONMENT and _is_installed(extras):
        sys.exit(f"{ENVIRONMENT} is incomplete: delete it and try again.")
    if not _is_installed(extras):
        _install(extras)
    os.chdir(ROOT)
    os.execv(PYTHON, [str(PYTHON), "-m", module, *sys.argv[1:]])  # signals reach it, and not a parent


def install_extra(extra: str) -> bool:
    """Install one more extra into the running environment, and return whether that worked."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--editable", f"{ROOT}[{extra}]"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _is_installed(extras: Sequence[str]) -> bool:
    stamp = _stamp(extras)
    return PYTHON.exists() and stamp.exists() and stamp.read_text() == _digest()


def _install(extras: Sequence[str]) -> None:
    print(f"Setting up {ENVIRONMENT} (once) ...", flush=True)
    if not PYTHON.exists():
        venv.create(ENVIRONMENT, with_pip=True)
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--editable", f"{ROOT}[{','.join(extras)}]"]
    if subprocess.call(command) != 0:
        sys.exit("The dependencies could not be installed: see the messages of pip above.")
    _stamp(extras).write_text(_digest())


def _stamp(extras: Sequence[str]) -> Path:
    return ENVIRONMENT / f"installed-{'-'.join(sorted(extras))}"


def _digest() -> str:
    return hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
