"""
`python -m django_pollable.client URL`: print the changes of a feed as JSON lines.

Standard output has a line for each item (`{"item": ...}`), removal (`{"removed": "<key>"}`) and end of
a reset (`{"reset": "begin"}`, `{"reset": "end"}`); standard error a line for each poll.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from django_pollable.client.answers import Page
from django_pollable.client.checkpoints import CheckpointError, FileStore
from django_pollable.client.machine import Outcome
from django_pollable.client.session import Event, PollingStopped
from django_pollable.client.waits import Pace

try:
    from django_pollable.client.poller import Poller
except ModuleNotFoundError as missing:  # pragma: no cover -- .ci/wheel tries it
    sys.exit(f"There is no {missing.name}. Install the client: pip install 'django-pollable[client]'.")

CAUGHT_UP, STOPPED, USAGE, FAILED = 0, 1, 2, 3
TOKEN_VARIABLE = "POLLABLE_TOKEN"


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status: 0, 1 (the server refuses for good), 2 (usage), 3 (`--once` without an answer)."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        store = FileStore(options.checkpoint) if options.checkpoint else None
        poller = Poller(
            options.url,
            store=store,
            token=options.token or os.environ.get(TOKEN_VARIABLE),
            headers=dict(options.header),
            pace=Pace(interval=options.interval),
            on_event=_report,
        )
    except (ValueError, CheckpointError, OSError) as error:
        parser.error(str(error))
    with poller:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: _leave(poller, number))
        try:
            if options.once:
                return _status(poller.catch_up(_print))
            poller.run(_print)
        except PollingStopped as error:
            print(error, file=sys.stderr)
            return STOPPED
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is flushed at exit
    return CAUGHT_UP


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m django_pollable.client",
        description="Print the changes of a feed as JSON lines.",
        epilog="Exit status: 0 caught up or interrupted, 1 refused for good, 2 usage, 3 no answer (--once).",
    )
    parser.add_argument("url", help="the feed; with ?since=now only what changes from now on")
    parser.add_argument(
        "--token", help=f"for `Authorization: Token ...`, or a value with its scheme; or {TOKEN_VARIABLE}"
    )
    parser.add_argument(
        "--header", action="append", type=_header, default=[], metavar="'NAME: VALUE'", help="repeatable"
    )
    parser.add_argument("--once", action="store_true", help="end once nothing more is there")
    parser.add_argument("--checkpoint", metavar="FILE", help="go on from here, and keep the place here")
    parser.add_argument("--interval", type=float, default=Pace().interval, metavar="SECONDS", help="between polls")
    return parser


def _leave(poller: Poller, number: int) -> None:
    """Stop after the request under way; a second signal ends the process at once."""
    poller.stop()
    signal.signal(number, signal.SIG_DFL)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError("a header is NAME: VALUE")
    return name.strip(), value.strip()


def _print(page: Page) -> None:
    for line in _lines(page):
        print(json.dumps(line))
    sys.stdout.flush()


def _lines(page: Page) -> Iterator[dict[str, Any]]:
    if page.is_reset:
        yield {"reset": "begin"}
    yield from ({"item": item} for item in page.items)
    yield from ({"removed": key} for key in page.removed)
    if page.ends_reset:
        yield {"reset": "end"}


def _report(event: Event) -> None:
    what = f"{event.items} items, {event.removed} removed" if event.kind == "page" else event.reason
    then = "stopped" if event.kind == "stop" else f"next in {event.wait:.1f} s" if event.wait else "next at once"
    print(
        f"{event.status or '---'}  {event.size:,} bytes  {event.seconds * 1000:.0f} ms  {what}  {then}"
        f"{'  ' if event.detail else ''}{event.detail}",
        file=sys.stderr,
    )


def _status(outcome: Outcome) -> int:
    if outcome.kind == "stop":
        return STOPPED
    return FAILED if outcome.kind in ("backoff", "resync") else CAUGHT_UP


if __name__ == "__main__":  # pragma: no cover -- in a process of its own
    sys.exit(main())
