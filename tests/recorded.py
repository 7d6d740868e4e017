"""The example project, which notes in `REQUESTS` what it is asked, before it answers."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from typing import Any

from example_project.wsgi import application as example

FIELDS = {
    "method": "REQUEST_METHOD",
    "path": "PATH_INFO",
    "query": "QUERY_STRING",
    "if_none_match": "HTTP_IF_NONE_MATCH",
    "authorization": "HTTP_AUTHORIZATION",
    "cookie": "HTTP_COOKIE",
    "forwarded_for": "HTTP_X_FORWARDED_FOR",
}


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer as the example does, a while later if the query says `slow`."""
    if "slow" in environ["QUERY_STRING"]:
        time.sleep(0.3)

    def note(status: str, *arguments: Any) -> Any:
        asked = {name: environ.get(variable, "") for name, variable in FIELDS.items()}
        with open(os.environ["REQUESTS"], "a") as file:
            file.write(json.dumps({**asked, "status": int(status.split()[0])}) + "\n")
        return start_response(status, *arguments)

    return example(environ, note)
