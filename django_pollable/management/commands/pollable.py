"""`manage.py pollable`: what an operator does with feeds."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, DatabaseError, OperationalError, connections

from django_pollable import overload
from django_pollable.caches import is_shared, shared_cache
from django_pollable.conf import conf
from django_pollable.ledger import history
from django_pollable.ledger.pruning import prune
from django_pollable.ledger.sequencer import settle_all
from django_pollable.ledger.status import census_of, feeds_on, status_of
from django_pollable.ledger.triggers import compare, expected, install
from django_pollable.mirror import command as mirroring

IDLE_SECONDS = 0.02
FAILED_SECONDS = 1.0


class Command(BaseCommand):
    help = "Show and keep the feeds of pollable models."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help="the database's alias")
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("status", help="head, horizon and backlog of each feed")
        actions.add_parser("check", help="whether the triggers are what the models say; exit status 1 if not")
        actions.add_parser("sql", help="print the statements that create the triggers")
        actions.add_parser("install", help="create missing triggers, drop stale ones")
        settle_parser = actions.add_parser("settle", help="number pending changes")
        settle_parser.add_argument("--forever", action="store_true", help="go on until interrupted")
        actions.add_parser("prune", help="forget changes older than the retention")
        pause_parser = actions.add_parser("pause", help="hold off polls in all processes")
        pause_parser.add_argument("--seconds", type=int, help="how long; without it until `resume`")
        actions.add_parser("resume", help="let polls through again")
        epoch_parser = actions.add_parser("epoch", help="begin a new history: every client resyncs")
        epoch_parser.add_argument("feed", help="the feed's name, as `status` shows it")
        mirroring.add_arguments(actions.add_parser("mirror", help="keep the rows of a model equal to a feed elsewhere"))

    def handle(self, *, action: str, database: str, **options: Any) -> None:
        act: Callable[..., None] = getattr(self, f"_{action}")
        act(database, **options)

    def _status(self, using: str, **options: Any) -> None:
        if overload.Switch().is_paused:
            self.stdout.write("Polls are paused.")
        for feed in feeds_on(using):
            status = status_of(feed, using)
            if status is None:
                self.stdout.write(f"{feed.name}: no history yet")
                continue
            census = census_of(feed, using)
            self.stdout.write(
                f"{feed.name}: head {status.head}, horizon {status.horizon}, epoch {status.epoch},"
                f" {census.changes} changes ({census.tombstones} tombstones), {status.pending} pending"
            )

    def _check(self, using: str, **options: Any) -> None:
        difference = compare(using)
        for line in difference.lines():
            self.stdout.write(line)
        if difference:
            raise CommandError("Run `manage.py pollable install`.", returncode=1)
        self.stdout.write(f"{len(expected(using))} triggers in place.")

    def _sql(self, using: str, **options: Any) -> None:
        for trigger in expected(using):
            for statement in trigger.create:
                self.stdout.write(f"{statement};")

    def _install(self, using: str, **options: Any) -> None:
        try:
            difference = install(using)
        except OperationalError as error:
            raise CommandError("\n".join([str(error).strip(), *getattr(error, "__notes__", ())])) from error
        self.stdout.write(f"{len(difference.missing)} created, {len(difference.stale)} dropped.")

    def _settle(self, using: str, *, forever: bool = False, **options: Any) -> None:
        while forever:
            time.sleep(self._settle_or_wait(using))
        self.stdout.write(f"{self._settle_all(using)} settled.")

    def _settle_all(self, using: str) -> int:
        return sum(settle_all(feed, using=using) for feed in feeds_on(using))

    def _settle_or_wait(self, using: str) -> float:
        """Settle, and return how long to wait (seconds); a database that fails is asked again by a new connection."""
        try:
            return 0 if self._settle_all(using) else IDLE_SECONDS
        except DatabaseError as error:
            self.stderr.write(str(error))
            connections[using].close()
            return FAILED_SECONDS

    def _prune(self, using: str, **options: Any) -> None:
        for feed in feeds_on(using):
            settle_all(feed, using=using)
            self.stdout.write(f"{feed.name}: {prune(feed, using=using)} pruned")

    def _pause(self, using: str, *, seconds: int | None = None, **options: Any) -> None:
        if seconds is not None and seconds <= 0:
            raise CommandError("--seconds takes a positive number.")
        self._tell_all(lambda: overload.pause(seconds))
        self.stdout.write("Polls are paused" + (f" for {seconds} s." if seconds else " until `pollable resume`."))

    def _resume(self, using: str, **options: Any) -> None:
        self._tell_all(overload.resume)
        self.stdout.write("Polls go on.")

    def _tell_all(self, tell: Callable[[], None]) -> None:
        """Act through the cache that the processes share."""
        kind = type(shared_cache()).__name__
        if not is_shared(shared_cache()):
            raise CommandError(
                f"No other process would see it: each has a cache '{conf.cache_alias}' of its own ({kind})."
                " Let POLLABLE_CACHE_ALIAS name one that they share, as Redis or a database cache."
            )
        try:
            tell()
        except Exception as error:  # each cache's driver raises what it likes
            raise CommandError(f"The cache '{conf.cache_alias}' ({kind}) cannot be reached: {error}") from error

    def _epoch(self, using: str, *, feed: str, **options: Any) -> None:
        for known in feeds_on(using):
            if known.name == feed:
                history.renew(known, using)
                self.stdout.write(f"{feed}: new epoch")
                return
        raise CommandError(f"There is no feed {feed}.")

    def _mirror(self, using: str, **options: Any) -> None:
        mirroring.run(self.stdout.write, using, **options)
