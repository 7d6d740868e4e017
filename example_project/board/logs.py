"""A file for what each build says."""

from pathlib import Path

from django.conf import settings


def log_of(build: int) -> Path:
    """Return the log of the build with this primary key; a build that has not begun has none yet."""
    return Path(settings.MEDIA_ROOT) / "logs" / f"{build}.log"


def begin(build: int, line: str) -> None:
    """Begin the log, or begin it anew."""
    log_of(build).parent.mkdir(parents=True, exist_ok=True)
    log_of(build).write_text(f"{line}\n", encoding="utf-8")


def say(build: int, line: str) -> None:
    """Add a line, if the log has begun."""
    if log_of(build).exists():
        with log_of(build).open("a", encoding="utf-8") as log:
            log.write(f"{line}\n")
