"""Settings of a project of somebody else, who has installed the wheel and nothing besides."""

SECRET_KEY = "a newcomer"
USE_TZ = True
ROOT_URLCONF = "builds.views"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_pollable",
    "django_pollable.mirror",
    "builds",
]
STATIC_URL = "static/"
