"""What must work where nothing but the wheel is installed."""

import importlib
import pkgutil
import subprocess
import sys

from django.contrib.staticfiles import finders
from django.test import TestCase

import django_pollable
from builds.models import Build, Project
from django_pollable.testing import PollingClient

EXTRAS = {"anyio", "drf_spectacular", "httpcore2", "orjson", "prometheus_client"}
"""What only the modules of the extras `client`, `metrics`, `orjson` and `schema` import."""


class NewcomerTests(TestCase):
    def test_a_change_is_noticed(self) -> None:
        build = Build.objects.create(project=Project.objects.create(name="engine"))
        feed = PollingClient(self.client, f"/projects/{build.project_id}/builds/")
        feed.sync()

        Build.objects.update(status="passed")

        feed.assert_notices(build)
        feed.assert_unchanged(max_queries=1)
        feed.assert_follows_what_it_reads()

    def test_a_module_needs_no_extra_but_its_own(self) -> None:
        missing = set()
        for module in pkgutil.walk_packages(django_pollable.__path__, "django_pollable.", onerror=str):
            if not module.name.endswith("__main__") and ".admin" not in module.name:  # that asks for Django's admin
                try:
                    importlib.import_module(module.name)
                except ModuleNotFoundError as error:
                    missing.add((module.name, error.name))

        assert {name for _, name in missing} <= EXTRAS, missing

    def test_the_client_names_the_extra_that_it_needs(self) -> None:
        command = [sys.executable, "-m", "django_pollable.client", "http://127.0.0.1:1/"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)

        assert "django-pollable[client]" in done.stderr

    def test_pages_find_the_browsers_client(self) -> None:
        assert finders.find("django_pollable/poller.js")
