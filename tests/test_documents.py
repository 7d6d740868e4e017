"""Documents whose sessions are typed, and whose files are written, in a project made for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.documents import ADDED, ROOT, Reader, is_shown, python
from tests.services import RangeServer, program

PEOPLE = """
from django.contrib.auth.models import Group, User
from documents.models import Document

for name, title in [("ann", "Plan"), ("bob", "Budget")]:
    team = Group.objects.create(name=f"{name}'s team")
    User.objects.create_user(name, password="secret").groups.add(team)
    Document.objects.create(team=team, title=title)
"""
STOCK = """
from django.db import models
from django_pollable.models import PollableModel

class Item(PollableModel):
    name = models.CharField(max_length=50)
    amount = models.IntegerField()
"""
STOCK_URLS = """
from django.urls import path
from rest_framework.serializers import ModelSerializer
from django_pollable.views import PollableListAPIView
from stock.models import Item

class ItemSerializer(ModelSerializer):
    class Meta:
        model = Item
        fields = "__all__"

class Items(PollableListAPIView):
    queryset = Item.objects.all()
    serializer_class = ItemSerializer

urlpatterns = [path("api/items/", Items.as_view())]
"""
CI_MODELS = """
from django.contrib.auth.models import User
from django.db import models
from django_pollable.models import PollableModel

class Project(models.Model):
    members = models.ManyToManyField(User, related_name="projects")

"""
STEPS = """
class Step(models.Model):
    build = models.ForeignKey(Build, on_delete=models.CASCADE, related_name="steps")
"""
CI_VIEWS = """
from rest_framework.permissions import BasePermission
from rest_framework.serializers import ModelSerializer
from django_pollable.views import PollableViewSet
from ci.models import Build

class BuildSerializer(ModelSerializer):
    class Meta:
        model = Build
        fields = "__all__"

class IsProjectMember(BasePermission):
    def has_permission(self, request, view):
        return request.user.projects.filter(pk=view.kwargs["project_pk"]).exists()

"""
CI_URLS = """
from django.urls import path
from ci.views import BuildViewSet

urlpatterns = [path("api/projects/<int:project_pk>/builds/", BuildViewSet.as_view({"get": "list"}))]
"""
CI_ROWS = """
from django.contrib.auth.models import User
from ci.models import Build, Project

project = Project.objects.create()
project.members.add(User.objects.create_user("alice", password="demo"))
Build.objects.bulk_create(Build(project=project, status="running") for _ in range(2))
"""
FAST = 'PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]\n'


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    with Reader(tmp_path, environment={"PYTHONPATH": str(ROOT)}) as reader:
        yield reader


def begin(reader: Reader, app: str) -> None:
    """Make an empty project with an application."""
    reader.run("django-admin startproject mysite .", f"python manage.py startapp {app}")
    reader.write(
        f"mysite/settings.py{ADDED}", f'INSTALLED_APPS += ["rest_framework", "django_pollable", "{app}"]\n{FAST}'
    )


def serve(reader: Reader, app: str) -> None:
    reader.run(f"python manage.py makemigrations {app}", "python manage.py migrate")
    reader.run("python manage.py shell < rows.py", "python manage.py runserver --noreload 8000")


def test_private_feeds(reader: Reader) -> None:
    begin(reader, "documents")
    reader.write_files("docs/how-to/private-feeds.md")
    reader.write("rows.py", PEOPLE)
    serve(reader, "documents")

    reader.type_commands("docs/how-to/private-feeds.md")


def test_raw_sql(reader: Reader) -> None:
    begin(reader, "stock")
    reader.write_files("docs/how-to/raw-sql.md")
    reader.write("stock/models.py", STOCK)
    reader.write("mysite/urls.py", STOCK_URLS)
    reader.write("rows.py", "")
    serve(reader, "stock")

    reader.type_commands("docs/how-to/raw-sql.md")


def test_writes(tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(ROOT), "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3"}
    with Reader(tmp_path, environment=environment) as reader:
        manage = "python -m example_project.manage"
        reader.run(f"{manage} migrate", f"{manage} seed", f"{manage} runserver --noreload 8000")

        reader.type_commands("docs/how-to/writes.md")


def test_logs(tmp_path: Path) -> None:
    with ExitStack() as stack:
        server = RangeServer(tmp_path / "work")
        stack.callback(server.stop)
        reader = stack.enter_context(Reader(tmp_path, environment={"url": f"{server.url}/logs/build.log"}))
        reader.write("build.log", "one\n")

        reader.type_commands("docs/how-to/logs.md")


def test_the_readme(reader: Reader) -> None:
    program("sqlite3")
    model, _, view = python("README.md")[0].partition("# views.py")
    begin(reader, "ci")
    reader.write("ci/models.py", CI_MODELS + model + STEPS)
    reader.write("ci/views.py", CI_VIEWS + view)
    reader.write("mysite/urls.py", CI_URLS)
    reader.write("rows.py", CI_ROWS)
    serve(reader, "ci")

    reader.type_commands("README.md")


@pytest.mark.parametrize(
    ("shown", "came"),
    [
        ("", "anything"),
        ('{"a": [1,\n  2]}', '{"a":[1,2]}\n'),
        ('{"a": 1, ...}', '{"a":1,"b":2}'),
        ("HTTP/1.1 200 OK\nETag: x\n\n{}", "HTTP/1.1 200 OK\r\nDate: now\r\nETag: x\r\nVary: y\r\n\r\n{}"),
        ("HTTP/1.1 304 Not Modified", "HTTP/1.1 304 Not Modified\nETag: x\n\n"),
        ("HTTP/1.1 416 Range Not Satisfiable", "HTTP/1.1 416 Requested Range Not Satisfiable\r\n\r\n"),
    ],
)
def test_a_document_may_leave_out_what_does_not_matter(shown: str, came: str) -> None:
    assert is_shown(shown, came)


@pytest.mark.parametrize(
    ("shown", "came"),
    [
        ('{"a": 1}', '{"a":1,"b":2}'),
        ("HTTP/1.1 200 OK\nETag: x\n\n{}", "HTTP/1.1 200 OK\nETag: y\n\n{}"),
        ("HTTP/1.1 200 OK\nETag: x", "HTTP/1.1 304 Not Modified\nETag: x\n\n"),
        ("HTTP/1.1 200 OK\nB: b\nA: a\n\n{}", "HTTP/1.1 200 OK\nA: a\nB: b\n\n{}"),
    ],
)
def test_a_document_shows_nothing_else_than_what_came(shown: str, came: str) -> None:
    assert not is_shown(shown, came)
