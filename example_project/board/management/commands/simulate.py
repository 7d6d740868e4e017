"""`manage.py simulate`: a busy team that writes in every way there is."""

from __future__ import annotations

import hashlib
import random
import time
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand
from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from example_project.board.models import Build, Event, Label, Project, Status, Step

MAX_BUILDS = 300
AUTHORS = ["alice", "bob", "carol", "dave"]
BRANCHES = ["main", "develop", "feature/search", "fix/login"]
STEPS = ["checkout", "compile", "test", "publish"]
OUTCOMES = [Status.PASSED, Status.PASSED, Status.FAILED]

Action = Callable[[random.Random], str]


class Command(BaseCommand):
    help = "Change builds of the public projects until interrupted."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--pause", type=float, default=1.0, help="mean pause between two changes (seconds)")
        parser.add_argument("--changes", type=int, help="stop after so many changes")
        parser.add_argument("--seed", type=int, help="of the random numbers")

    def handle(self, *, pause: float, changes: int | None, seed: int | None, **options: Any) -> None:
        chance = random.Random(seed)
        done = 0
        while changes is None or done < changes:
            try:
                act(chance)
            except (OperationalError, InterfaceError) as error:
                self.stderr.write(f"Again, after: {error}")
                connection.close()
            else:
                done += 1
            time.sleep(chance.uniform(0, 2 * pause))


@transaction.atomic
def act(chance: random.Random) -> None:
    """Do one thing at random, and tell of it in an event of the same transaction."""
    action = chance.choices(list(ACTIONS), weights=list(ACTIONS.values()))[0]
    message = action(chance)
    if message:
        Event.objects.create(kind=action.__name__, message=message)


def queue(chance: random.Random) -> str:
    build = _new_build(chance, _project(chance))
    build.save()
    Step.objects.bulk_create(Step(build=build, name=name) for name in STEPS)
    return f"{build.author} queued {build} of {build.project}"


def queue_many(chance: random.Random) -> str:
    project = _project(chance)
    builds = [_new_build(chance, project) for _ in range(chance.randint(2, 4))]
    for later, build in enumerate(builds):
        build.number += later
    Build.objects.bulk_create(builds)
    return f"{len(builds)} builds of {project} queued"


def start(chance: random.Random) -> str:
    """Start queued builds by an UPDATE that runs no `save()`."""
    started = _some(chance, Status.QUEUED, 3)
    Build.objects.filter(pk__in=started).update(status=Status.RUNNING, started_at=timezone.now())
    return started and f"{len(started)} builds started"


def advance(chance: random.Random) -> str:
    """Change a step, and not the build that it belongs to."""
    step = Step.objects.filter(build__in=_some(chance, Status.RUNNING, 1), status=Status.QUEUED).first()
    if step is None:
        return ""
    step.status = chance.choice(OUTCOMES)
    step.save(update_fields=["status"])
    return f"{step} of {step.build} {step.status}"


def finish(chance: random.Random) -> str:
    builds = list(Build.objects.filter(pk__in=_some(chance, Status.RUNNING, 3)))
    for build in builds:
        build.status = chance.choice(OUTCOMES)
        build.finished_at = timezone.now()
    Build.objects.bulk_update(builds, ["status", "finished_at"])
    return builds and f"{len(builds)} builds finished"


def cancel(chance: random.Random) -> str:
    """Cancel a queued build in SQL, as another program would."""
    for pk in _some(chance, Status.QUEUED, 1):
        with connection.cursor() as cursor:
            cursor.execute("UPDATE board_build SET status = %s WHERE id = %s", [Status.CANCELLED, pk])
        return f"build {pk} cancelled"
    return ""


def relabel(chance: random.Random) -> str:
    build = _any_build(chance)
    if build is None:
        return ""
    labels = list(Label.objects.order_by("pk"))
    build.labels.set(chance.sample(labels, chance.randint(0, 2)))
    return f"{build} relabelled"


def move(chance: random.Random) -> str:
    """Move a build to another project: it is removed in the old one."""
    build = _any_build(chance)
    if build is None:
        return ""
    build.project = _project(chance)
    build.number = build.project.next_number()
    build.save(update_fields=["project", "number"])
    return f"a build moved to {build.project}"


def delete(chance: random.Random) -> str:
    build = _any_build(chance)
    if build is None:
        return ""
    message = f"{build} of {build.project} deleted"
    build.delete()
    return message


def clean_up(chance: random.Random) -> str:
    """Delete the oldest builds, so that there are never many more than `MAX_BUILDS`."""
    old = list(_builds().order_by("-pk").values_list("pk", flat=True)[MAX_BUILDS:])
    Build.objects.filter(pk__in=old).delete()
    return old and f"{len(old)} old builds deleted"


ACTIONS: dict[Action, int] = {
    queue: 4,
    queue_many: 2,
    start: 5,
    advance: 8,
    finish: 5,
    cancel: 1,
    relabel: 2,
    move: 1,
    delete: 2,
    clean_up: 1,
}
"""And how often each is chosen."""


def _builds() -> Any:
    """Return the builds that may be changed: a private project is left alone."""
    return Build.objects.filter(project__public=True)


def _project(chance: random.Random) -> Project:
    return chance.choice(list(Project.objects.filter(public=True).order_by("pk")))


def _some(chance: random.Random, status: Status, most: int) -> list[int]:
    """Return the primary keys of one to `most` builds that have the status, if there are any."""
    pks = list(_builds().filter(status=status).order_by("pk").values_list("pk", flat=True))
    return chance.sample(pks, min(len(pks), chance.randint(1, most)))


def _any_build(chance: random.Random) -> Build | None:
    pks = list(_builds().order_by("pk").values_list("pk", flat=True))
    return Build.objects.select_related("project").filter(pk=chance.choice(pks)).first() if pks else None


def _new_build(chance: random.Random, project: Project) -> Build:
    return Build(
        project=project,
        number=project.next_number(),
        branch=chance.choice(BRANCHES),
        commit=hashlib.sha1(chance.randbytes(8), usedforsecurity=False).hexdigest(),
        author=chance.choice(AUTHORS),
    )
