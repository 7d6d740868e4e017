"""A WSGI application that serves the files of a folder by ranges: as files, and as logs that grow."""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponseBase
from django.urls import path

from django_pollable.files import ranged


def serve(request: HttpRequest, kind: str, name: str) -> HttpResponseBase:
    source = Path(os.environ["RANGE_FOLDER"]) / name
    return ranged(request, source, append_only=kind == "logs", poll_interval_seconds=0.2 if kind == "logs" else None)


urlpatterns = [path("<str:kind>/<str:name>", serve)]
application = get_wsgi_application()
settings.ROOT_URLCONF = __name__
