"""`manage.py seed`: users, projects and first builds."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand
from django.db import transaction
from rest_framework.authtoken.models import Token

from example_project.board.models import Build, Event, Label, Project, Status, Step

LABELS = ["bug", "feature", "nightly", "release"]
PROJECTS = {
    "payments": {"public": False, "members": ["alice"], "builds": 5},
    "website": {"public": True, "members": ["alice", "bob"], "builds": 20},
    "handbook": {"public": True, "members": [], "builds": 20},
}
"""In the order of their ids: 1, 2, 3."""


class Command(BaseCommand):
    help = "Create the users, projects and builds of the example; what is there already stays."

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        users = {name: _user(name) for name in ("alice", "bob")}
        for name in LABELS:
            Label.objects.get_or_create(name=name)
        for name, plan in PROJECTS.items():
            project, is_new = Project.objects.get_or_create(name=name, defaults={"public": plan["public"]})
            if is_new:
                project.members.set([users[member] for member in plan["members"]])
                _add_builds(project, plan["builds"])


def _user(name: str) -> User:
    user, is_new = User.objects.get_or_create(username=name)
    if is_new:
        user.set_password("demo")
        user.save()
    Token.objects.get_or_create(user=user, defaults={"key": f"{name}-demo-token"})
    return user


def _add_builds(project: Project, count: int) -> None:
    for number in range(1, count + 1):
        build = Build.objects.create(project=project, number=number, author="alice", status=Status.PASSED)
        Step.objects.bulk_create(Step(build=build, name=name, status=Status.PASSED) for name in ("compile", "test"))
    Event.objects.create(kind="project", message=f"{project} has {count} builds")
