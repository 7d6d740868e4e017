"""What leaves a real server, byte by byte."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("gunicorn")

PORT = 18_443


@pytest.fixture
def gunicorn(tmp_path: Path) -> Iterator[int]:
    """A port where the example project listens."""
    environment = os.environ | {
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "DJANGO_SETTINGS_MODULE": "example_project.settings",
    }
    for command in ("migrate", "seed"):
        subprocess.run([sys.executable, "-m", "django", command], env=environment, check=True, capture_output=True)
    server = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{PORT}", "example_project.wsgi"],
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", PORT)) == 0:
                break
        time.sleep(0.1)
    yield PORT
    server.terminate()
    server.wait()


def ask(port: int, *headers: str) -> tuple[str, dict[str, str], bytes]:
    lines = ["GET /api/status/ HTTP/1.1", "Host: localhost", "Connection: close", *headers, "", ""]
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall("\r\n".join(lines).encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    return status, {name.lower(): value for name, value in (field.split(": ", 1) for field in fields)}, body


def test_p16_a_304_has_the_headers_of_the_200_and_no_content_length(gunicorn: int) -> None:
    _, first, _ = ask(gunicorn)

    status, headers, body = ask(gunicorn, f"If-None-Match: {first['etag']}")

    assert status == "HTTP/1.1 304 Not Modified"
    assert body == b""
    assert "content-length" not in headers
    assert "content-type" not in headers
    shared = ("etag", "cache-control", "x-poll-interval", "accept-ranges", "last-modified", "vary")
    assert {name: headers.get(name) for name in shared} == {name: first.get(name) for name in shared}
