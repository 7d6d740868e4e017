"""The tutorial, followed word for word from an empty folder, with the wheel of this project."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import ROOT, Reader, blocks
from tests.test_browser import ARGUMENTS

TUTORIAL = "docs/tutorial.md"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def reader(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Somebody who installs the wheel where the tutorial says `django-pollable`, and has another port than 8000."""
    replacing = {f"pip install {quote}django-pollable": f"pip install {quote}{wheel}" for quote in ("", "'")}
    with Reader(tmp_path_factory.mktemp("tutorial"), replacing=replacing) as reader:
        yield reader


def test_each_step_does_what_the_tutorial_shows(reader: Reader) -> None:
    reader.follow(TUTORIAL)
    if chromium := shutil.which("chromium"):
        see_the_page(reader, chromium)


def see_the_page(reader: Reader, chromium: str) -> None:
    """Open the page as the tutorial says, and see a change come; where there is no driver for browsers, do nothing."""
    try:
        from playwright.sync_api import expect, sync_playwright
    except ModuleNotFoundError:
        return
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS) as browser,
    ):
        page = browser.new_page()
        page.goto(f"http://localhost:{reader.port}/")
        page.fill("[name=username]", "bob")
        page.fill("[name=password]", "secret")
        page.click("[type=submit]")
        expect(page.locator("#tickets li")).to_have_text(["Door stuck: oiled"], timeout=30_000)
        reader.run("curl -s -u bob:secret -X PATCH -d status=done localhost:8000/api/tickets/4/")
        expect(page.locator("#tickets li")).to_have_text(["Door stuck: done"], timeout=30_000)


def test_nothing_in_the_tutorial_is_left_out() -> None:
    assert all(block.caption or block.language == "console" for block in blocks(TUTORIAL))
