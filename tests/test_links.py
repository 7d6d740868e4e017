"""Links of the documents lead somewhere, and the files and programs that they name are there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from tests.documents import ROOT

NAMES = ["README.md", "CHANGELOG.md", *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md"))]
FENCE = re.compile(r"^( *)```.*?^\1```$", re.M | re.S)
LINK = re.compile(r"\]\(<?([^)>\s]+)>?\)|\{doc\}`(?:[^`<]*<)?([^`>]+)>?`")
FILE = re.compile(r"`((?:django_pollable|docs|example_project|tests|\.ci)/[\w./-]+)`")
MODULE = re.compile(r"python3? -m ((?:django_pollable|example_project|tests)[\w.]*)")
PLACES = (ROOT, ROOT / "django_pollable" / "static")

documents = pytest.mark.parametrize("name", NAMES)


def text(name: str) -> str:
    """Return a document without its blocks of code."""
    return FENCE.sub("", (ROOT / name).read_text())


def anchors(path: Path) -> set[str]:
    """Return what GitHub and MyST call the headings of a document."""
    headings = re.findall(r"^#{1,3} (.*)$", FENCE.sub("", path.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@documents
def test_each_link_to_a_document_leads_to_it_and_to_its_heading(name: str) -> None:
    for target, document in LINK.findall(text(name)):
        if re.match(r"\w+:", target):
            continue
        file, _, anchor = (target or f"{document}.md").partition("#")
        path = (ROOT / name).parent / file if file else ROOT / name
        assert path.exists(), f"{name}: {target or document}"
        assert not anchor or anchor in anchors(path), f"{name}: {target}"


@documents
def test_each_file_that_is_named_is_there(name: str) -> None:
    for file in FILE.findall(text(name)):
        assert any((place / file).exists() for place in PLACES), f"{name}: {file}"


@documents
def test_each_program_that_is_named_is_there(name: str) -> None:
    for module in MODULE.findall((ROOT / name).read_text()):
        assert importlib.util.find_spec(module), f"{name}: {module}"
