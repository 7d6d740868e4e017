"""Keep the board changing, by every way to write."""

import random
import time
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError, connection, transaction
from django.db.models import F
from django.utils import timezone

from example_project.board import logs
from example_project.board.models import Build, Event, Label, Project, Step

MOST_BUILDS = 300
SLEEP_SECONDS = (0.2, 1.5)
SAYINGS = ["compile naïve.c …", "link → build/app", "test parser ✓", "test façade ✓", "warning: unused variable “ŵ”"]


def start_some() -> str:
    queued = list(Build.objects.filter(status="queued").order_by("?").values_list("pk", flat=True)[:5])
    count = Build.objects.filter(pk__in=queued).update(status="running", started_at=timezone.now())
    for build in queued:
        logs.begin(build, f"{timezone.now():%H:%M:%S} started")
    return f"{count} builds started"


def finish_one() -> str:
    build = Build.objects.filter(status="running").order_by("?").first()
    if build is None:
        return ""
    build.status, build.finished_at = random.choice(["passed", "failed", "cancelled"]), timezone.now()
    build.save()
    logs.say(build.pk, f"{timezone.now():%H:%M:%S} {build.status}")
    return f"{build} {build.status}"


def queue_some() -> str:
    project = Project.objects.order_by("?")[0]
    last = project.builds.order_by("-number").values_list("number", flat=True).first() or 0
    new = [
        Build(project=project, number=last + step, commit=f"{random.getrandbits(160):040x}", author="simulator")
        for step in range(1, random.randint(2, 4))
    ]
    Build.objects.bulk_create(new)
    return f"{len(new)} builds queued in {project}"


def number_again() -> str:
    builds = list(Build.objects.order_by("?")[:3])
    for build in builds:
        build.branch = random.choice(["main", "next", "fix"])
    Build.objects.bulk_update(builds, ["branch"])
    return ""


def label_one() -> str:
    build = Build.objects.order_by("?")[0]
    build.labels.set(Label.objects.order_by("?")[: random.randint(0, 2)])
    return ""


def step_on() -> str:
    step = Step.objects.filter(build__status="running").order_by("?").first()
    if step is not None:
        step.status = random.choice(["running", "passed", "failed"])
        step.save(update_fields=["status"])
    return ""


def move_one() -> str:
    build = Build.objects.order_by("?")[0]
    Build.objects.filter(pk=build.pk).update(project=Project.objects.exclude(pk=build.project_id).order_by("?")[0])
    return f"{build} moved"


def requeue_by_sql() -> str:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE board_build SET status = 'queued' WHERE status = 'cancelled'")
        return f"{cursor.rowcount} builds queued again by SQL" if cursor.rowcount else ""


def renumber() -> str:
    Build.objects.filter(pk=Build.objects.order_by("?")[0].pk).update(number=F("number") + 1000)
    return ""


def clear_away() -> str:
    surplus = max(Build.objects.count() - MOST_BUILDS, 1)
    oldest = Build.objects.filter(status__in=["passed", "failed"]).order_by("pk").values_list("pk", flat=True)
    doomed = list(oldest[:surplus])
    count, _ = Build.objects.filter(pk__in=doomed).delete()
    for build in doomed:
        logs.log_of(build).unlink(missing_ok=True)
    return f"{count} rows cleared away"


def talk() -> None:
    """Let each build that runs say something: not a change of the board."""
    for build in Build.objects.filter(status="running").values_list("pk", flat=True):
        for _ in range(random.randint(0, 3)):
            logs.say(build, f"{timezone.now():%H:%M:%S} {random.choice(SAYINGS)} {random.randint(1, 99)} ms")


ACTIONS: list[Callable[[], str]] = [
    start_some,
    finish_one,
    finish_one,
    queue_some,
    number_again,
    label_one,
    step_on,
    step_on,
    move_one,
    requeue_by_sql,
    renumber,
    clear_away,
]


class Command(BaseCommand):
    help = "Create, change, move and delete builds until interrupted."

    def handle(self, *args: Any, **options: Any) -> None:
        actions: list[Callable[[], str]] = [start_some]  # something goes on from the first second
        while True:
            try:
                with transaction.atomic():
                    message = random.choice(actions if Build.objects.exists() else [queue_some])()
                    if message:
                        Event.objects.create(kind="simulated", message=message[:200])
                talk()
                actions = ACTIONS
            except DatabaseError as error:  # locked, deadlocked, or gone meanwhile: the next one will do
                self.stderr.write(str(error))
            time.sleep(random.uniform(*SLEEP_SECONDS))
