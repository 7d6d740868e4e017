"""`python3 -m example_project`: the build board on this machine, and how to poll it."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from types import FrameType

from example_project.bootstrap import ensure_environment

HOST = "127.0.0.1"
START_SECONDS = 30
DRIVERS = {"sqlite": [], "postgres": ["postgres"], "postgresql": ["postgres"], "mysql": ["mysql"]}
GUIDE = """
The board is at {api}/ (alice or bob, password "demo"). Project 1 changes only when you change it;
the simulator works on projects 2 and 3. Paste these lines into another terminal:

# 200: everything there is, a cursor and a tag
API={api}; AUTH='Authorization: Token alice-demo-token'
ANSWER=$(curl -isS -H "$AUTH" "$API/projects/1/builds/"); printf '%s\\n' "$ANSWER"
TAG=$(printf '%s' "$ANSWER" | tr -d '\\r' | sed -n 's/^ETag: //p')
SINCE=$(printf '%s' "$ANSWER" | sed -n 's/.*"next_since":"\\([^"]*\\)".*/\\1/p')
BUILD=$(printf '%s' "$ANSWER" | sed -n 's/.*"items":\\[{{"id":\\([0-9]*\\).*/\\1/p')

# 304: nothing has changed
curl -isS -H "$AUTH" -H "If-None-Match: $TAG" "$API/projects/1/builds/?since=$SINCE"

# a change
curl -isS -H "$AUTH" -X PATCH --data "branch=hotfix-$(date +%s)" "$API/projects/1/builds/$BUILD/"

# 200: only what has changed, and the next cursor and tag
ANSWER=$(curl -isS -H "$AUTH" -H "If-None-Match: $TAG" "$API/projects/1/builds/?since=$SINCE"); printf '%s\\n' "$ANSWER"
TAG=$(printf '%s' "$ANSWER" | tr -d '\\r' | sed -n 's/^ETag: //p')
SINCE=$(printf '%s' "$ANSWER" | sed -n 's/.*"next_since":"\\([^"]*\\)".*/\\1/p')

# 304: nothing since then
curl -isS -H "$AUTH" -H "If-None-Match: $TAG" "$API/projects/1/builds/?since=$SINCE"

# for everybody: all public builds, and the events after one
curl -isS "$API/status/?since=now"
curl -isS "$API/events/?after_id=1&limit=3"

Ctrl-C ends the board.
"""


def main() -> None:
    arguments = _parse()
    ensure_environment(["example", *arguments.extras])
    if arguments.database:
        os.environ["DATABASE_URL"] = arguments.database
    _check_port(arguments.port)
    for command in ("migrate", "seed"):
        _prepare(command)
    for number in (signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])):
        signal.signal(number, _interrupt)
    children: list[subprocess.Popen[bytes]] = []
    try:
        children.append(_start("runserver", "--noreload", "--insecure", f"{HOST}:{arguments.port}"))
        if arguments.has_simulator:
            children.append(_start("simulate"))
        _wait_for_server(children[0], arguments.port)
        print(GUIDE.format(api=f"http://{HOST}:{arguments.port}/api"), flush=True)
        _wait_for_end(children)
    except KeyboardInterrupt:
        print("The board has ended.")
    finally:
        _stop(children)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m example_project", description="Run the build board.")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument(
        "--database", metavar="URL", help="postgresql://, mysql:// or sqlite:///; default: a SQLite file"
    )
    parser.add_argument("--no-simulator", dest="has_simulator", action="store_false", help="change nothing by itself")
    arguments = parser.parse_args()
    scheme = (arguments.database or "sqlite:").partition(":")[0]
    if scheme not in DRIVERS:
        parser.error(f"--database: the URL begins with one of {', '.join(DRIVERS)}, not with '{scheme}'")
    arguments.extras = DRIVERS[scheme]
    return arguments


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            sys.exit(f"Port {port} cannot be used ({error}). Choose another with --port.")


def _prepare(command: str) -> None:
    """Run a management command to its end; of a failure only the last line is worth showing."""
    done = subprocess.run(_manage(command, "--verbosity=0"), check=False, capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        sys.exit(f"`{command}` has failed: {lines[-1]}")


def _start(*command: str) -> subprocess.Popen[bytes]:
    """Start a management command in a session of its own, so that Ctrl-C reaches only this process."""
    return subprocess.Popen(_manage(*command), stdout=subprocess.DEVNULL, start_new_session=True)


def _manage(*command: str) -> list[str]:
    return [sys.executable, "-m", "example_project.manage", *command]


def _wait_for_server(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    sys.exit("The server has not started.")


def _wait_for_end(children: list[subprocess.Popen[bytes]]) -> None:
    while all(child.poll() is None for child in children):
        time.sleep(0.2)
    sys.exit("A process of the board has ended unexpectedly.")


def _stop(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        child.terminate()
    for child in children:
        try:
            child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            child.kill()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
