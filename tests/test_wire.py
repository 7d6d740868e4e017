"""The examples of the wire contract are what a server says; with `POLLABLE_RENEW=1` this renews them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections
from django.test.testcases import LiveServerThread

from tests.wire import comparable, exchanges

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "wire.md"
BLOCK = re.compile(r"(?<=<!-- )([\w ]+) -->\n```text\n(.*?)\n?```", re.DOTALL)


@pytest.fixture
def port(transactional_db: None, settings: Any, tmp_path: Path) -> Iterator[int]:
    """The port of a server with the views of the examples, which shares the connection where that has the database."""
    settings.ROOT_URLCONF, settings.MEDIA_ROOT, settings.MEDIA_URL = "tests.wire", tmp_path, "/media/"
    shared = {"default": connections["default"]} if connection.vendor == "sqlite" else {}
    server = LiveServerThread("127.0.0.1", lambda application: application, connections_override=shared)
    connection.inc_thread_sharing()
    server.daemon = True
    server.start()
    server.is_ready.wait()
    yield server.port
    server.terminate()
    connection.dec_thread_sharing()


def test_the_page_shows_what_a_server_answers(port: int) -> None:
    shown = dict(BLOCK.findall(PAGE.read_text()))

    found = {name: str(exchange) for name, exchange in exchanges(port)}

    if "POLLABLE_RENEW" in os.environ:
        PAGE.write_text(BLOCK.sub(lambda block: f"{block[1]} -->\n```text\n{found[block[1]]}\n```", PAGE.read_text()))
        return
    assert shown.keys() == found.keys()
    for name, text in found.items():
        assert comparable(shown[name]) == comparable(text), name
