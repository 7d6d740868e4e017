"""Who asks: the `Authorization` of each request."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable
from typing import Any

Token = str | Callable[[], Any] | None


def authorization(token: Token) -> dict[str, str]:
    """Return the header for `token`; a callable is asked for it, so that it can be renewed."""
    value = token() if callable(token) else token
    return header(value)


async def authorization_async(token: Token) -> dict[str, str]:
    """Return the same; a callable may be asynchronous."""
    value: Any = token() if callable(token) else token
    return header(await value if isawaitable(value) else value)


def header(value: str | None) -> dict[str, str]:
    """Return the header for a token of REST framework, or for a value that has its scheme before a space."""
    if not value:
        return {}
    return {"Authorization": value if " " in value else f"Token {value}"}
