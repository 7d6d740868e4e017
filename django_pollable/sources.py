"""What ranges are served of: files, files of a storage, and logs that grow, each with its validators."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import Http404
from django.utils.http import quote_etag

from django_pollable.conditional import Validators
from django_pollable.cursors import fingerprint
from django_pollable.ranges import Span

BLOCK = 64 * 1024
"""What is read at once (bytes)."""
SAMPLE = 4096
"""What the tag of a log reads, at its begin and at its end (bytes)."""

_LOG_TAG = re.compile(r'"([0-9a-f]{1,15})-[^"]*"')


class SourceShrank(OSError):
    """The source ends before the bytes that have been announced: the connection has to be dropped."""


@dataclass(frozen=True, slots=True)
class Source:
    """
    An open file of `size` bytes, as long as it was when it was opened.

    Attributes:
        modified: when it was last changed (Unix seconds), or None where nobody knows.
        is_log: bytes are only ever added to it.
    """

    file: Any
    size: int
    name: str
    modified: float | None
    is_log: bool = False

    @classmethod
    def open(cls, source: Any, *, is_log: bool = False) -> Source:
        """
        Open `source`: a path, a file of Django's (as a `FileField` has), or an open binary file that can seek.

        A log that is not there is an empty one: it has not begun, or is just being rotated.

        Raises:
            Http404: there is no such file.
        """
        try:
            file, name, modified = _open(source)
        except FileNotFoundError:
            if not is_log:
                raise Http404 from None
            file, name, modified = Path(os.devnull).open("rb"), str(source), None  # noqa: SIM115 -- the answer closes it
        return cls(file, file.seek(0, os.SEEK_END) or file.tell(), name, modified, is_log)

    def read(self, span: Span) -> Iterator[bytes]:
        """
        Yield the bytes of `span`, a block at a time.

        Raises:
            SourceShrank: they are no longer there.
        """
        window = Window(self, span)
        return iter(lambda: window.read(BLOCK), b"")

    def whole(self) -> Window:
        """Return all of it as a file; a server may send what does not grow by itself, with `sendfile`."""
        window = Window(self, Span(0, self.size))
        fileno = getattr(self.file, "fileno", None)
        if fileno is not None and not self.is_log:
            window.fileno = fileno  # type: ignore[attr-defined]
        return window

    def validators(self, *, etag: str | None, variant: object, now: float) -> Validators:
        """
        Return the tag and the date; `now` is Unix seconds, `variant` what else tells representations apart.

        The tag of a file is weak as long as it could change without a change of its time.

        Raises:
            ImproperlyConfigured: nothing tells when the source changes.
        """
        date = int(self.modified) if self.modified is not None and int(self.modified) < int(now) else None
        if self.is_log:
            return LogValidators(_log_etag(self, self.size, variant), date, log=self, variant=variant)
        if etag is not None:
            return Validators(quote_etag(etag), date)
        if self.modified is None:
            raise ImproperlyConfigured("Give `etag`: nothing tells when this source changes.")
        tag = f'"{fingerprint(self.size, repr(self.modified), variant)}"'
        return Validators(tag if self.modified + 1 < now else f"W/{tag}", date)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogValidators(Validators):
    """The validators of a log, whose tag says how long it was, and what its first and last bytes were."""

    log: Source
    variant: object

    def names(self, etag: str) -> bool:
        """Return whether the log had the tag `etag` when it was shorter: then it begins with the same bytes."""
        match = _LOG_TAG.fullmatch(etag)
        size = int(match[1], 16) if match else self.log.size + 1
        return size <= self.log.size and _log_etag(self.log, size, self.variant) == etag


class Window:
    """The bytes of `span` as a file of their own, which ends where they do."""

    def __init__(self, source: Source, span: Span) -> None:
        source.file.seek(span.start)
        self._source, self._left = source, len(span)

    def read(self, size: int = -1) -> bytes:
        """
        Return up to `size` bytes, and none at the end.

        Raises:
            SourceShrank: the source ends sooner.
        """
        wanted = self._left if size < 0 else min(size, self._left)
        block: bytes = self._source.file.read(wanted)
        if wanted and not block:
            raise SourceShrank(f"{self._source.name} ends {self._left} bytes early.")
        self._left -= len(block)
        return block


def _open(source: Any) -> tuple[Any, str, float | None]:
    """Return an open file, its name, and when it was last changed (Unix seconds)."""
    if isinstance(source, str | os.PathLike):
        file = Path(source).open("rb")  # noqa: SIM115
        return file, str(source), os.fstat(file.fileno()).st_mtime
    storage = getattr(source, "storage", None)
    if storage is None:
        return source, str(getattr(source, "name", "")), _time_of(source)
    if not source:
        raise FileNotFoundError
    modified = _time_in(storage, source.name)  # before the file: a newer file than its tag is safe, an older one is not
    return source.open("rb"), source.name, modified


def _time_of(file: Any) -> float | None:
    try:
        return os.fstat(file.fileno()).st_mtime
    except (AttributeError, OSError):
        return None


def _time_in(storage: Any, name: str) -> float | None:
    try:
        return float(storage.get_modified_time(name).timestamp())
    except NotImplementedError:  # what Django lets a storage say that does not know
        return None


def _log_etag(log: Source, size: int, variant: object) -> str:
    """Return the tag that `log` had when its size was `size`."""
    samples = (Span(0, min(size, SAMPLE)), Span(max(size - SAMPLE, 0), size))
    begin, end = (b"".join(log.read(span)).hex() for span in samples)
    return f'"{size:x}-{fingerprint(size, begin, end, variant)}"'
