"""The code of the documentation of files and logs."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.permissions import IsAuthenticated
from rest_framework.views import APIView

from django_pollable.client.tailing import TailStopped
from django_pollable.files import RangeMixin
from tests.documents import python
from tests.faulty import FaultyServer, answer, script

EXAMPLES = python("docs/how-to/logs.md")
URL = "https://example.org/api/builds/7/log/"


@pytest.mark.parametrize("example", [text for text in EXAMPLES if URL in text], ids=["sync", "async"])
def test_an_example_of_the_client_runs(example: str, capsys: pytest.CaptureFixture[str]) -> None:
    part = answer(206, "one é\n".encode(), Content_Range="bytes 0-6/99")
    with FaultyServer(script([part], [answer(404)])) as server:
        program = compile(example.replace(URL, server.url), "logs.md", "exec")
        with pytest.raises(TailStopped):
            exec(program, {"__name__": "example"})

    assert capsys.readouterr().out == "one é\n"


def test_the_examples_of_the_server_are_views() -> None:
    names: dict[str, Any] = {"RangeMixin": RangeMixin, "APIView": APIView, "IsProjectMember": IsAuthenticated}
    for example in EXAMPLES:
        if URL not in example:
            exec(compile(example, "logs.md", "exec"), names)

    assert issubclass(names["BuildLog"], RangeMixin)
    assert names["report"]
