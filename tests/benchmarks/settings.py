"""Settings of the benchmarks: Django's default middleware, connections that are kept, and models of their own."""

import json
import os

from tests.settings import *  # noqa: F403
from tests.settings import DATABASE, INSTALLED_APPS

ROOT_URLCONF = "tests.benchmarks.urls"
INSTALLED_APPS = [*INSTALLED_APPS, "tests.benchmarks"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
NAME = DATABASE["NAME"] if DATABASE["ENGINE"].endswith("sqlite3") else f"benchmarks_{DATABASE['NAME']}"
DATABASES = {"default": DATABASE | {"CONN_MAX_AGE": None, "TEST": {"NAME": NAME}}}
DATABASE_ROUTERS: list[str] = []
REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
}
POLLABLE_PUBLISH_SECONDS = 1  # as where it is not set
globals().update(json.loads(os.environ.get("BENCHMARK_SETTINGS", "{}")))
