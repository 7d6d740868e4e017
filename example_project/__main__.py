"""`python3 -m example_project`: a board of builds that changes and can be polled."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from example_project import edge
from example_project.bootstrap import ROOT, ensure_environment

CURL = """
The board is at http://127.0.0.1:{port}/ , what it polls at http://127.0.0.1:{port}/api/ . Try, line by line:

  url=http://127.0.0.1:{port}/api/projects/1/builds/
  auth='Authorization: Token alice-demo-token'
  header() {{ grep -i "^$1:" /tmp/headers | cut -d' ' -f2- | tr -d '\\r'; }}
  cursor() {{ sed 's/.*"next_since":"\\([^"]*\\)".*/\\1/' /tmp/body; }}

  # 200: everything there is, and a cursor
  curl -sS -D /tmp/headers -o /tmp/body -H "$auth" "$url?limit=1000"; head -1 /tmp/headers
  # 304: nothing is new (or 200 with what the simulator has just changed)
  curl -sS -i -H "$auth" -H "If-None-Match: $(header etag)" "$url?limit=1000&since=$(cursor)"
  # a change
  curl -sS -H "$auth" -d number=7 -d commit=c0ffee -d author=me "$url"; echo
  # 200: only what has changed
  curl -sS -D /tmp/headers -o /tmp/delta -H "$auth" "$url?limit=1000&since=$(cursor)"
  mv /tmp/delta /tmp/body; cat /tmp/body; echo
  # 304 again
  curl -sS -i -H "$auth" -H "If-None-Match: $(header etag)" "$url?limit=1000&since=$(cursor)"

  # 200: a write of what was read, then 412: it has changed since
  curl -sS -D /tmp/headers -o /dev/null -H "$auth" "${{url}}1/"
  for n in 1 2; do
    curl -sS -i -X PATCH -H "$auth" -H "If-Match: $(header etag)" -d author=$RANDOM "${{url}}1/"; echo
  done

  # 429: the sixth summary in a minute; it says when to come back
  for n in 1 2 3 4 5 6; do curl -sS -i http://127.0.0.1:{port}/api/summary/; echo; done

  # what Prometheus scrapes: polls by view and status, and where the feeds stand
  curl -sS http://127.0.0.1:{port}/metrics | grep ^pollable_

Anonymous: /api/status/ and /api/events/?after_id=1 . Sign in as alice or bob (password: demo) on the page itself.
How the feeds do: http://127.0.0.1:{port}/admin/pollable/feed/ as admin (password: demo).
Stop with Ctrl-C.
"""
DRIVERS = {"sqlite": [], "postgres": ["postgres"], "postgresql": ["postgres"], "mysql": ["mysql"]}


def main() -> None:
    options = _options()
    ensure_environment("example_project", ["example", *DRIVERS[_scheme(options.database)]])
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", options.port)) == 0:
            sys.exit(f"Port {options.port} is in use: choose another with --port.")
    environment = os.environ | {"PYTHONUNBUFFERED": "1", "DJANGO_SETTINGS_MODULE": "example_project.settings"}
    if options.database:
        environment["DATABASE_URL"] = options.database
    if options.edge:
        environment["POLLABLE_NUM_PROXIES"] = "1"
    _run("migrate", "--verbosity", "0", environment=environment)
    _run("seed", environment=environment)
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: sys.exit(0))
    try:
        with ExitStack() as stack:
            _serve(options, environment, stack)
    except KeyboardInterrupt:
        print("Stopped.")


def _serve(options: argparse.Namespace, environment: dict[str, str], stack: ExitStack) -> None:
    """Run the parts of the example, which `stack` ends, until one of them stops."""
    port = _free_port() if options.edge else options.port
    children = [stack.enter_context(_running("runserver", "--noreload", f"127.0.0.1:{port}", environment=environment))]
    if not options.no_simulator:
        children.append(stack.enter_context(_running("simulate", environment=environment)))
    _wait_for(port, children[0])
    if options.edge:
        children.append(stack.enter_context(edge.running(options.edge, port=options.port, origin=port)))
        _wait_for(options.port, children[-1])
    print(CURL.format(port=options.port), flush=True)
    while all(child.poll() is None for child in children):
        time.sleep(0.5)
    sys.exit("A part of the example has stopped: see the messages.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m example_project")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--database", metavar="URL", help="postgresql://..., mysql://... or sqlite:///path")
    parser.add_argument("--no-simulator", action="store_true", help="change nothing by itself")
    parser.add_argument("--edge", choices=edge.PROGRAMS, help="put nginx or Varnish in front of the server")
    options = parser.parse_args()
    scheme = _scheme(options.database)
    if scheme not in DRIVERS:
        parser.error(f"--database begins with one of {', '.join(DRIVERS)}, not with '{scheme}'.")
    if options.edge and not edge.find(options.edge):
        parser.error(f"{edge.PROGRAMS[options.edge]} is not installed: try `apt-get install {options.edge}`.")
    return options


def _scheme(database: str | None) -> str:
    return (database or "sqlite:").partition(":")[0]


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "example_project.manage", *arguments]


def _run(*arguments: str, environment: dict[str, str]) -> None:
    if subprocess.call(_command(*arguments), cwd=ROOT, env=environment) != 0:
        sys.exit(f"`{arguments[0]}` has failed: see the messages above.")


@contextmanager
def _running(*arguments: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    # Ctrl-C reaches only the parent, which ends its children.
    process = subprocess.Popen(_command(*arguments), cwd=ROOT, env=environment, start_new_session=True)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    while server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)


if __name__ == "__main__":
    main()
