"""What can go wrong, as problem details name it (RFC 9457)."""

from __future__ import annotations

from typing import ClassVar, Literal

from django.core.exceptions import ImproperlyConfigured

ExpiryReason = Literal["history-pruned", "epoch-changed", "filter-changed", "scope-changed", "schema-changed"]


class NotTracked(ImproperlyConfigured):
    """The model is not pollable: it has no feed."""


class PollError(Exception):
    """A poll that cannot be answered; `code` is the end of the problem's `type`."""

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    @property
    def members(self) -> dict[str, str]:
        """Further members of the problem."""
        return {}

    @property
    def headers(self) -> dict[str, str]:
        """Further headers of the answer."""
        return {}


class InvalidParameter(PollError):
    """A query parameter has a value that it cannot have."""

    status = 400
    code = "invalid-parameter"
    title = "Invalid parameter"


class InvalidCursor(PollError):
    """The cursor is malformed, of an unknown version, or another feed's."""

    status = 400
    code = "invalid-cursor"
    title = "Invalid cursor"


class CursorExpired(PollError):
    """The cursor is well-formed, but cannot be continued: a first sync is due."""

    status = 410
    code = "cursor-expired"
    title = "Cursor expired"

    def __init__(self, detail: str, *, reason: ExpiryReason) -> None:
        super().__init__(detail)
        self.reason = reason

    @property
    def members(self) -> dict[str, str]:
        return {"reason": self.reason}


class NotYetAvailable(PollError):
    """The cursor is ahead of the replica that was asked, but not of the primary."""

    status = 503
    code = "not-yet-available"
    title = "Not yet available"

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": "1"}


class PreconditionFailed(PollError):
    """`If-Match` or `If-Unmodified-Since` names another state."""

    status = 412
    code = "precondition-failed"
    title = "Precondition failed"
