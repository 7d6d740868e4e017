"""Settings of the example project; `DATABASE_URL` chooses another database than SQLite."""

import os
from pathlib import Path
from typing import Any

import dj_database_url

HERE = Path(__file__).resolve().parent

SECRET_KEY = "an example has nothing to hide"
DEBUG = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "example_project.urls"
WSGI_APPLICATION = "example_project.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
MEDIA_ROOT = os.environ.get("MEDIA_ROOT") or HERE / "media"
USE_TZ = True
TIME_ZONE = "UTC"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework.authtoken",
    "django_filters",
    "drf_spectacular",
    "django_pollable",
    "example_project.board",
]
MIDDLEWARE = [
    "django_pollable.metrics.MetricsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
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

DATABASE: Any = dj_database_url.parse(
    os.environ.get("DATABASE_URL") or f"sqlite:///{HERE / 'db.sqlite3'}", conn_max_age=60
)
if "sqlite" in DATABASE["ENGINE"]:
    DATABASE["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL",
    }
DATABASES = {"default": DATABASE}

POLLABLE_NUM_PROXIES = int(os.environ.get("POLLABLE_NUM_PROXIES", "0"))
POLLS = ("50/s", "1200/m")
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "django_pollable.authentication.PollableTokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "django_pollable.schema.PollableAutoSchema",
    "DEFAULT_THROTTLE_CLASSES": ["example_project.board.throttling.CheapPolls"],
    # Behind an edge a request for a public feed is everybody's, and there is no one client to count it for.
    "DEFAULT_THROTTLE_RATES": {"polls": POLLS, "public": None if POLLABLE_NUM_PROXIES else POLLS},
}
SPECTACULAR_SETTINGS = {
    "TITLE": "A board of builds",
    "VERSION": "1",
    "COMPONENT_SPLIT_REQUEST": True,
    "PREPROCESSING_HOOKS": ["drf_spectacular.hooks.preprocess_exclude_path_format"],
    # Forms are taken, too. What they leave empty counts as not sent, or as null, which a schema cannot say.
    "PARSER_WHITELIST": ["rest_framework.parsers.JSONParser"],
}
# Limits count in the default cache, which is this process's own: enough for one process, see docs/how-to/limits.md.
POLLABLE_POLL_INTERVAL_SECONDS = 2
