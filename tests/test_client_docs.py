"""The code of the client's documentation, against a server that gives two pages and then refuses."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from django_pollable.client.session import PollingStopped
from tests.documents import python
from tests.faulty import FaultyServer, answer, page, script

EXAMPLES = python("docs/how-to/python-client.md")
URL = "https://example.org/api/builds/"


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_runs(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pages = [answer(200, page(name, {"id": name}, more=True, reset=name == "a")) for name in "ab"]
    with FaultyServer(script(*([one] for one in pages), [answer(401)])) as server, suppress(PollingStopped):
        exec(compile(example.replace(URL, server.url), "python-client.md", "exec"), {"__name__": "example"})

    assert URL in example
    assert len(server.requests) >= 1
