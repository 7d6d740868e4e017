"""Fill an empty board; what is there stays."""

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand
from django.db import transaction
from rest_framework.authtoken.models import Token

from example_project.board.models import Build, Event, Label, Project, Step

BUILDS = 12


class Command(BaseCommand):
    help = "Fill an empty board with projects, builds, and the users alice, bob and admin."

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        if Project.objects.exists():
            return
        alice, bob = (self._user(name) for name in ("alice", "bob"))
        User.objects.create_superuser("admin", password="demo")
        first, second, third = (
            Project.objects.create(name=name, public=public)
            for name, public in (("compiler", False), ("website", True), ("docs", True))
        )
        first.members.add(alice)
        second.members.add(alice, bob)
        Label.objects.bulk_create(Label(name=name) for name in ("nightly", "release", "flaky"))
        for project in (first, second, third):
            builds = [
                Build(project=project, number=number, commit=f"{project.pk:03}{number:037x}", author="alice")
                for number in range(1, BUILDS + 1)
            ]
            Build.objects.bulk_create(builds)
        Step.objects.bulk_create(
            Step(build=build, name=name) for build in Build.objects.all() for name in ("compile", "test")
        )
        Event.objects.create(kind="seeded", message="The board is open.")

    def _user(self, name: str) -> User:
        user = User.objects.create_user(name, password="demo")
        Token.objects.create(user=user, key=f"{name}-demo-token")
        return user
