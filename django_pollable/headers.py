"""Header fields that know at the last moment for whom an answer is."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from http.cookies import SimpleCookie

from django.http.response import ResponseHeaders

logger = logging.getLogger(__name__)

PRIVATE = "private, max-age=0"
OF_ONE_CLIENT = {"authorization", "cookie", "*"}
"""What `Vary` names where an answer is one client's."""


class AnswerHeaders(ResponseHeaders):
    """
    The header fields of an answer with `cookies`.

    `Cache-Control` is said when it is read: an answer for everybody becomes one for its client alone where
    a middleware has added a cookie, or has looked at one.
    """

    def __init__(self, fields: Mapping[str, str], cookies: SimpleCookie) -> None:
        super().__init__(fields)
        self._cookies = cookies

    def __getitem__(self, name: str) -> str:
        value: str = super().__getitem__(name)
        if name.lower() == "cache-control" and "public" in value:
            reason = self._reason()
            if reason:
                _log(reason)
                return PRIVATE
        return value

    def _reason(self) -> str:
        """Return what makes the answer one client's, if anything."""
        if self._cookies or "Set-Cookie" in self:
            return f"sets cookies {sorted(self._cookies)}"
        varies = {name.strip().lower() for name in (self.get("Vary") or "").split(",")}
        return f"varies by {sorted(varies & OF_ONE_CLIENT)}" if varies & OF_ONE_CLIENT else ""


class HeadersWithoutLength(AnswerHeaders):
    """Those of a 304, whose `Content-Length` would speak of the 200's body (RFC 9110 Section 8.6)."""

    def __setitem__(self, name: str, value: str | bytes | int) -> None:
        if name.lower() != "content-length":
            super().__setitem__(name, value)


@cache
def _log(reason: str) -> None:
    """Log it once a process."""
    where = {"pollable_event": "public-withdrawn", "pollable_reason": reason}
    logger.warning("an answer that was to be public %s: no cache may share it", reason, extra=where)
