"""Settings of the tests: the database is the one that `DATABASE_URL` names, or SQLite."""

import os
from typing import Any

import dj_database_url

SECRET_KEY = "tests"
DEBUG = False
USE_TZ = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.urls"
STATIC_URL = "static/"
MEDIA_ROOT = os.environ.get("MEDIA_ROOT", "")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "rest_framework",
    "rest_framework.authtoken",
    "django_filters",
    "drf_spectacular",
    "django_pollable",
    "django_pollable.mirror",
    "tests.accounts",
    "tests.shop",
    "tests.copies",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": os.environ["CACHE_URL"]}
    if "CACHE_URL" in os.environ
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}
DATABASE: Any = dj_database_url.parse(os.environ.get("DATABASE_URL", "sqlite://:memory:"))
DATABASES = {
    "default": DATABASE,
    "archive": {**DATABASE, "TEST": {"NAME": f"test_archive_{os.getpid()}"}}
    if "sqlite" not in DATABASE["ENGINE"]
    else {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
}
DATABASE_ROUTERS = ["tests.accounts.routers.AccountsRouter", "tests.shop.routers.ArchiveRouter"]
REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "django_pollable.schema.PollableAutoSchema",
}
POLLABLE_PUBLISH_SECONDS = 0  # or a test would not see what it has just written
