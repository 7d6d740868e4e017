"""Reads go to a standby, writes to the primary."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings


class StandbyRouter:
    """
    Read from one standby a process, and write to the primary, `default`.

    All that a request reads comes from one server: where the row came from another than what its
    serializer reads besides, the older of the two would be told as new.
    """

    def db_for_read(self, model: Any, **hints: Any) -> str:
        standbys = [alias for alias in settings.DATABASES if alias.startswith("standby")]
        return standbys[os.getpid() % len(standbys)]

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        return True
