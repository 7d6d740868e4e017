"""Check of the metrics."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from django.core.checks import CheckMessage, Error, register

from django_pollable.conf import conf

MIDDLEWARE = "django_pollable.metrics.MetricsMiddleware"


@register("pollable")
def check_metrics(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E050: metrics are switched on, and there is nothing to keep them."""
    if not conf.uses_middleware(MIDDLEWARE) or find_spec("prometheus_client"):
        return []
    return [
        Error(
            "MIDDLEWARE has MetricsMiddleware, but prometheus_client is not installed.",
            hint="Install the extra: `pip install django-pollable[metrics]`.",
            id="pollable.E050",
        )
    ]
