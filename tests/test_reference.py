"""Every public name is in the reference, and every name that the documents tell is there."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Iterator
from functools import reduce
from types import ModuleType

import pytest
from django.dispatch import Signal
from rest_framework.generics import GenericAPIView

from django_pollable import files, mixins, scopes, throttling, writing
from django_pollable.conf import PollableSettings
from django_pollable.management.commands.pollable import Command
from tests.documents import ROOT

PAGES = {path.stem: path.read_text() for path in ROOT.glob("docs/reference/*.md")}
REFERENCE = "\n".join(PAGES.values())
DOCUMENTS = "\n".join(path.read_text() for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
CHECKS = "\n".join(path.read_text() for path in ROOT.glob("django_pollable/checks/*.py"))
EXAMPLES = "\n".join(path.read_text() for path in ROOT.glob("example_project/**/*.py"))
SCRIPTS = ROOT / "django_pollable" / "static" / "django_pollable"
VIEWS = [
    scopes.ScopedMixin,
    mixins.PollableMixin,
    mixins.PollableListMixin,
    mixins.PollableRetrieveMixin,
    writing.PollableWriteMixin,
    files.RangeMixin,
    throttling.LimitThrottle,
    throttling.PollableThrottle,
]
DOTTED = re.compile(r"\bdjango_pollable(?:\.\w+)+")


def module_of(dotted: str) -> str:
    """Return the module of a dotted name: as much of it as is a file."""
    name = dotted
    while not (ROOT / f"{name.replace('.', '/')}.py").exists() and not (ROOT / name.replace(".", "/")).is_dir():
        name = name.rpartition(".")[0]
    return name


def public_modules() -> list[str]:
    """Return the modules that the reference names, and those that examples import from."""
    imported = re.findall(r"from (django_pollable[.\w]*) import", DOCUMENTS + EXAMPLES)
    return sorted({*imported, *map(module_of, DOTTED.findall(REFERENCE))} - {"django_pollable"})


def public_names(module: ModuleType) -> Iterator[str]:
    """Yield what `__all__` tells, or else the classes and functions, or the signals, that a module defines."""
    for name, value in vars(module).items():
        is_own = getattr(value, "__module__", module.__name__) == module.__name__ and callable(value)
        is_signal = isinstance(value, Signal) and module.__name__.endswith(".signals")
        if name in getattr(module, "__all__", [name] if is_own or is_signal else []) and not name.startswith("_"):
            yield name


def is_in(name: str, text: str) -> bool:
    return re.search(rf"[`.]{re.escape(name)}\b", text) is not None


@pytest.mark.parametrize("module", public_modules())
def test_every_public_name_is_in_the_reference(module: str) -> None:
    names = public_names(pytest.importorskip(module))

    assert module in REFERENCE
    assert [name for name in names if not is_in(name, REFERENCE)] == []


@pytest.mark.parametrize("dotted", sorted(set(DOTTED.findall(DOCUMENTS))))
def test_every_name_that_the_documents_tell_is_there(dotted: str) -> None:
    module = module_of(dotted)
    parts = dotted.removeprefix(module).split(".")[1:]

    assert reduce(getattr, parts, pytest.importorskip(module)) is not None


@pytest.mark.parametrize("part", VIEWS)
def test_what_a_view_may_set_or_override_is_in_the_reference(part: type) -> None:
    hooks = [name for name in vars(part) if name.startswith("get_") and not hasattr(GenericAPIView, name)]
    attributes = [name for name in part.__annotations__ if not name.startswith("_")]

    assert [name for name in hooks + attributes if not is_in(name, PAGES["api"])] == []


def test_the_settings_are_those_of_the_reference() -> None:
    read = re.findall(r'_get\("(\w+)"', inspect.getsource(PollableSettings))
    told = re.findall(r"^\| `POLLABLE_(\w+)`", PAGES["settings"], re.M)

    assert sorted(told) == sorted(read)


def test_the_checks_are_those_of_the_reference() -> None:
    made = set(re.findall(r'"(?:pollable\.)?([EW]0\d\d)"', CHECKS))

    assert made == set(re.findall(r"^\| `pollable\.(\w+)`", PAGES["checks"], re.M))


def test_the_actions_of_the_command_are_those_of_the_reference() -> None:
    parser = Command().create_parser("manage.py", "pollable")
    actions = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    told = re.findall(r"^`(\w+)[^`]*`$", PAGES["command"], re.M)
    options = [
        option for one in actions.choices.values() for action in one._actions for option in action.option_strings
    ]

    assert sorted(told) == sorted(actions.choices)
    assert [name for name in {*options} - {"-h", "--help"} if name not in PAGES["command"]] == []


@pytest.mark.parametrize("script", ["poller.js", "tail.js"])
def test_what_the_browsers_client_exports_is_in_its_reference(script: str) -> None:
    exported = re.findall(r"^export (?:async )?(?:class|const|function\*?) (\w+)", (SCRIPTS / script).read_text(), re.M)

    assert exported
    assert [name for name in exported if not re.search(rf"\b{name}\b", PAGES["browser-client"])] == []
