"""nginx or Varnish in front of the example's server, with the configurations beside this file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAMS = {"nginx": "nginx", "varnish": "varnishd"}
AROUND = """\
daemon off;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/feeds.conf;
}}
"""
"""What a system's own nginx.conf has around a site's."""


def find(edge: str) -> str | None:
    """Return where the program of `edge` is, if it is installed."""
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"])
    return shutil.which(PROGRAMS[edge], path=places)


@contextmanager
def running(edge: str, *, port: int, origin: int) -> Iterator[subprocess.Popen[bytes]]:
    """
    Run `edge`, which listens at `port` and asks the server at the port `origin`, both of 127.0.0.1.

    It writes into a temporary folder only, and reads nothing of the system's configuration. What it has
    to say is shown if it stops by itself.
    """
    with tempfile.TemporaryDirectory(prefix="pollable-edge-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # the workers of root's edge are another user's
        log = folder / "log"
        with log.open("wb") as messages:
            # Ctrl-C reaches only the parent.
            process = subprocess.Popen(
                _command(edge, folder, port=port, origin=origin),
                stdout=messages,
                stderr=messages,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            if process.poll() is not None:
                sys.stderr.write(log.read_text())
            process.terminate()
            process.wait(10)


def _command(edge: str, folder: Path, *, port: int, origin: int) -> list[str]:
    """Write the configuration, and return the command that goes by it."""
    program = str(find(edge))
    values = {"8000": str(port), "8001": str(origin), "/var/cache/nginx": str(folder)}
    if edge == "nginx":
        _fill(HERE / "nginx.conf", folder / "feeds.conf", values)
        (folder / "nginx.conf").write_text(AROUND.format(folder=folder))
        return [program, "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
    _fill(HERE / "default.vcl", folder / "default.vcl", values)
    place = ["-n", str(folder / "work"), "-s", "malloc,64m"]
    return [program, "-F", "-a", f"127.0.0.1:{port}", "-f", str(folder / "default.vcl"), *place]


def _fill(source: Path, target: Path, values: dict[str, str]) -> None:
    """Copy a configuration, with other ports and places than it shows to people."""
    shown = "|".join(map(re.escape, values))
    target.write_text(re.sub(shown, lambda found: values[found[0]], source.read_text()))
