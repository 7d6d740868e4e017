"""Times, durations and counts as the pages write them."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format, number_format

UNITS = (("days", 86400), ("hours", 3600), ("minutes", 60))


def when(instant: datetime) -> str:
    """Return a time as the admin writes it, in the current time zone; `instant` knows its own."""
    return date_format(timezone.localtime(instant), "DATETIME_FORMAT")


def lasting(seconds: float) -> str:
    """Return a duration in the largest unit of which there are two."""
    unit, length = next((unit for unit in UNITS if seconds >= 2 * unit[1]), ("seconds", 1))
    count = int(seconds / length)
    return "1 second" if count == 1 else f"{count} {unit}"


def at_most(count: int, most: int) -> str:
    """Return a count that ended at `most`."""
    return f"{number_format(count)} or more" if count >= most else number_format(count)
