"""Checks of the settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.cache import caches
from django.core.checks import CheckMessage, Error, register

from django_pollable.conf import conf

Rule = tuple[Callable[[Any], bool], str]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


A_COUNT: Rule = (lambda value: _is_integer(value) and value > 0, "Give it a positive whole number.")
A_TIME: Rule = (lambda value: _is_number(value) and value > 0, "Give it a positive number of seconds.")
A_TIME_OR_NONE: Rule = (lambda value: _is_integer(value) and value >= 0, "Give it whole seconds; 0 to switch it off.")
A_CACHE: Rule = (lambda value: value in caches.settings, "Name one of CACHES.")
RULES: dict[str, Rule] = {
    "page_size": A_COUNT,
    "max_page_size": A_COUNT,
    "settle_batch": A_COUNT,
    "poll_interval_seconds": A_TIME,
    "retention_seconds": A_TIME,
    "problem_base_uri": (lambda value: isinstance(value, str) and ":" in value, "Give it an absolute URI."),
    "head_max_age_seconds": (lambda value: _is_number(value) and value >= 0, "Give it seconds; 0 for no copies."),
    "publish_seconds": A_TIME_OR_NONE,
    "page_cache_seconds": A_TIME_OR_NONE,
    "page_cache_max_bytes": A_COUNT,
    "cache_alias": A_CACHE,
    "ratelimit_cache_alias": A_CACHE,
    "retry_after_spread_seconds": (
        lambda value: value == conf.poll_interval_seconds or (_is_number(value) and value >= 0),
        "Give it seconds; 0 for no spread.",
    ),
    "first_sync_slots": (
        lambda value: value is None or A_COUNT[0](value),
        "Give it a positive whole number, or None for any number: without a slot nobody can begin.",
    ),
    "ratelimit_fail_open": (lambda value: isinstance(value, bool), "Say True or False."),
    "ratelimit_headers": (
        lambda value: value in ("RateLimit", "X-RateLimit", None),
        "Say 'RateLimit', 'X-RateLimit' or None.",
    ),
    "num_proxies": (lambda value: _is_integer(value) and value >= 0, "Count the trusted proxies; 0 for none."),
    "token_max_age_seconds": (
        lambda value: _is_number(value) and 0 <= value < float("inf"),
        "Give it seconds; 0 for not at all.",
    ),
    "ipv6_prefix_length": (lambda value: _is_integer(value) and 1 <= value <= 128, "Give it bits, from 1 to 128."),
}


@register("pollable")
def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E001: a setting has a value that it cannot have."""
    wrong: list[CheckMessage] = [
        _setting(name, getattr(conf, name), hint)
        for name, (can_be, hint) in RULES.items()
        if not can_be(getattr(conf, name))
    ]
    if not wrong and conf.page_size > conf.max_page_size:
        wrong.append(_setting("page_size", conf.page_size, "Let it be at most POLLABLE_MAX_PAGE_SIZE."))
    return wrong


def _setting(name: str, value: object, hint: str) -> Error:
    title = "RATELIMIT_USE_CACHE" if name == "ratelimit_cache_alias" else f"POLLABLE_{name.upper()}"
    return Error(f"{title} cannot be {value!r}.", hint=hint, id="pollable.E001")
