"""Who a client is: the name of the bucket that its requests are counted in."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from hashlib import blake2s
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

from django_pollable.conf import conf

Key = str | Callable[[Any], str]
"""`user`, `token`, `ip`, or a function of the request that gives the name of a bucket."""

KEYS = ("user", "token", "ip")

_HOST = re.compile(r"(?:\[([^\]]+)\]|([^:]+))(?::\d+)?")
"""An address as some proxies write it: in brackets, with a port."""


def client_key(key: Key, request: Any) -> str:
    """
    Return the name of the client's bucket: each key has buckets of its own.

    Users and tokens count only where they are authenticated: made-up ones would be a new bucket each.
    """
    if callable(key):
        return f"{key.__module__}.{getattr(key, '__qualname__', type(key).__qualname__)}:{key(request)}"
    return f"{key}:{_identity(key, request)}"


def client_address(request: HttpRequest) -> str:
    """
    Return the client's address; of an IPv6 address the network.

    Behind `POLLABLE_NUM_PROXIES` trusted proxies it is what the outermost of them has seen: each adds the
    address of its peer at the end of `X-Forwarded-For`, and what stands before is the client's own word.

    Raises:
        ImproperlyConfigured: there is no address, as behind a Unix socket without such a proxy.
    """
    address = str(request.META.get("REMOTE_ADDR", ""))
    if conf.num_proxies:
        forwarded = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
        address = forwarded[-min(conf.num_proxies, len(forwarded))] or address
    if not address:
        raise ImproperlyConfigured(
            "The request has no REMOTE_ADDR: set POLLABLE_NUM_PROXIES to the number of proxies before the server."
        )
    host = _HOST.fullmatch(address)
    try:
        known = ipaddress.ip_address((host[1] or host[2]) if host else address)
    except ValueError:
        return address
    if known.version == 4:
        return str(known)
    if known.ipv4_mapped:
        return str(known.ipv4_mapped)
    return str(ipaddress.ip_network((known, conf.ipv6_prefix_length), strict=False))


def is_authenticated(request: Any) -> bool:
    """Return whether it is known who asks."""
    user = getattr(request, "user", None)
    return user is not None and user.is_authenticated


def _identity(key: str, request: Any) -> str:
    auth = getattr(request, "auth", None) if key == "token" else None
    if auth is not None and _has_text(auth):
        return blake2s(str(auth).encode(), digest_size=16).hexdigest()
    if key != "ip" and is_authenticated(request):
        return f"user:{request.user.pk}"
    return f"ip:{client_address(request)}"


def _has_text(auth: object) -> bool:
    """Return whether `str(auth)` tells which one it is, and not where it is in memory."""
    kind = type(auth)
    return kind.__str__ is not object.__str__ or kind.__repr__ is not object.__repr__
