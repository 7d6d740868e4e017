"""What `manage.py pollable mirror` does."""

from __future__ import annotations

import os
import signal
import threading
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError

TOKEN_VARIABLE = "POLLABLE_TOKEN"
APP = "django_pollable.mirror"


def add_arguments(parser: ArgumentParser) -> None:
    """Add what `run` takes."""
    parser.add_argument("url", help="the feed")
    parser.add_argument("--to", required=True, metavar="APP.MODEL", help="whose rows become those of the feed")
    parser.add_argument("--key", default="", help="the items' member with the primary key; default: its field's name")
    parser.add_argument("--token", help=f"of REST framework, or a value with its scheme; or {TOKEN_VARIABLE}")
    parser.add_argument("--interval", type=float, default=5.0, metavar="SECONDS", help="between polls")
    parser.add_argument("--once", action="store_true", help="end once nothing more is there")


def run(
    write: Callable[[str], object],
    using: str,
    *,
    url: str,
    to: str,
    key: str = "",
    token: str | None = None,
    interval: float = 5.0,
    once: bool = False,
    **options: Any,
) -> None:
    """
    Mirror the feed at `url` into the model `to` until interrupted, and `write` a line for each poll.

    Raises:
        CommandError: something is missing or wrong, the server refuses, or with `once` does not answer.
    """
    if not apps.is_installed(APP):
        raise CommandError(f"Add {APP!r} to INSTALLED_APPS, and migrate.")
    from django_pollable.client.poller import Poller
    from django_pollable.client.session import Event, PollingStopped
    from django_pollable.client.waits import Pace
    from django_pollable.mirror.mirroring import ModelMirror
    from django_pollable.mirror.stores import DjangoStore

    def tell(event: Event) -> None:
        changes = f"{event.items} items, {event.removed} removed" if event.kind == "page" else event.reason
        sync = f", {poller.state.rows} rows of the first sync" if poller.state.is_syncing else ""
        write(f"{event.kind}: {changes}{sync}; next in {event.wait:.1f} s {event.detail}".rstrip())

    try:
        poller = Poller(
            url,
            store=DjangoStore(using),
            token=token or os.environ.get(TOKEN_VARIABLE),
            identity=f"-> {to.lower()}",
            pace=Pace(interval=interval),
            on_event=tell,
        )
        mirror = ModelMirror(apps.get_model(to), poller, key=key)
        with poller, stopping_at_sigterm(poller.stop):
            if not once:
                mirror.run()
                return
            outcome = mirror.catch_up()
    except (ValueError, LookupError, ImproperlyConfigured, PollingStopped) as error:
        raise CommandError(str(error)) from error
    except ImportError as error:
        raise CommandError("Install the client: pip install django-pollable[client].") from error
    except KeyboardInterrupt:
        return
    if outcome.kind not in ("page", "idle"):
        raise CommandError(f"The feed does not answer: {outcome.reason}.", returncode=3)


@contextmanager
def stopping_at_sigterm(stop: Callable[[], None]) -> Iterator[None]:
    """Let SIGTERM call `stop` within the block; outside of the main thread signals are not ours."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: stop())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
