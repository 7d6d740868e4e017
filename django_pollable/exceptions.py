"""What can go wrong, as problem details name it (RFC 9457)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

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
    def members(self) -> dict[str, Any]:
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


class TryLater(PollError):
    """An answer that comes later: `retry_after` whole seconds from now, jitter included."""

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)}


class QuotaExceeded(TryLater):
    """
    A client has used up a quota.

    `policies` are the names of those that it violates, `fields` the header fields that tell its quotas.
    """

    status = 429
    code = "quota-exceeded"
    title = "Quota exceeded"

    def __init__(self, detail: str, *, retry_after: int, policies: tuple[str, ...], fields: dict[str, str]) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.policies = policies
        self.fields = fields

    @property
    def members(self) -> dict[str, Any]:
        return {"violated-policies": list(self.policies)}

    @property
    def headers(self) -> dict[str, str]:
        return super().headers | self.fields


class ReducedCapacity(TryLater):
    """The server is overloaded, paused, or without its database."""

    status = 503
    code = "temporary-reduced-capacity"
    title = "Temporary reduced capacity"


class NotYetAvailable(TryLater):
    """The replica that was asked has not got so far; the primary has."""

    status = 503
    code = "not-yet-available"
    title = "Not yet available"

    def __init__(self, detail: str, *, retry_after: int = 1) -> None:
        super().__init__(detail, retry_after=retry_after)


class PreconditionFailed(PollError):
    """`If-Match` or another precondition does not hold."""

    status = 412
    code = "precondition-failed"
    title = "Precondition failed"


class RangeNotSatisfiable(PollError):
    """None of the ranges that `Range` names has a byte; `size` (bytes) is what there is."""

    status = 416
    code = "range-not-satisfiable"
    title = "Range not satisfiable"

    def __init__(self, size: int) -> None:
        super().__init__(f"There are {size} bytes.")
        self.size = size

    @property
    def headers(self) -> dict[str, str]:
        return {"Content-Range": f"bytes */{self.size}"}


class PreconditionRequired(PollError):
    """The view lets nobody write blindly (RFC 6585 Section 3)."""

    status = 428
    code = "precondition-required"
    title = "Precondition required"
