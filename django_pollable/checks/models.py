"""Checks of what `class Pollable` says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import FieldDoesNotExist

from django_pollable.ledger.keys import KeyFields
from django_pollable.ledger.options import FeedOptions, feeds
from django_pollable.ledger.tables import KEY_LENGTH, SCOPE_LENGTH, VIA_LENGTH
from django_pollable.ledger.watches import watches


@register(Tags.models)
def check_models(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E010 to E015: what `class Pollable` says cannot be."""
    found: list[CheckMessage] = []
    names: dict[int, FeedOptions] = {}
    for feed in feeds():
        found += _check_feed(feed)
        other = names.setdefault(feed.id, feed)
        if other is not feed:
            found.append(
                Error(
                    f"The feeds {other.name} and {feed.name} have the same id.",
                    hint='Give one of them another name: `feed = "..."` in `class Pollable`.',
                    obj=feed.model,
                    id="pollable.E015",
                )
            )
    return found


def _check_feed(feed: FeedOptions) -> Iterator[CheckMessage]:
    own = {field.name for field in feed.model._meta.local_concrete_fields}
    for name in feed.declaration.scope:
        if name not in {field.name for field in feed.model._meta.concrete_fields}:
            yield _model(feed, "E010", f"scope field '{name}' does not exist.", "Name a concrete field.")
        elif name not in own:
            yield _model(
                feed,
                "E011",
                f"scope field '{name}' is a column of a parent's table: a deletion would not know its scope.",
                "Let the child declare `class Pollable: scope = (...)` of its own fields, or ().",
            )
    yield from _check_keys(feed, feed.key, KEY_LENGTH, "primary key")
    if set(feed.declaration.scope) <= own:
        yield from _check_keys(feed, feed.scope, SCOPE_LENGTH, "scope")
    try:
        followed = watches(feed)
    except FieldDoesNotExist as error:
        yield _model(feed, "E012", f"`follows`: {error}", "Name foreign keys, many-to-many or reverse relations.")
        return
    for watch in followed:
        yield from _check_keys(feed, watch.keys, KEY_LENGTH, f"key of '{watch.path}'")
        if len(watch.via) > VIA_LENGTH:
            yield _model(feed, "E012", f"`follows`: '{watch.path}' is too long.", "Follow fewer relations.")


def _check_keys(feed: FeedOptions, keys: KeyFields, limit: int, what: str) -> Iterator[CheckMessage]:
    if keys.unsupported:
        hint = "Use integer, character or UUID fields, or foreign keys to them."
        yield _model(feed, "E013", f"the {what} has fields without a stable text: {keys.unsupported}.", hint)
    elif keys.max_length > limit:
        yield _model(feed, "E014", f"the {what} can be longer than {limit} characters.", "Shorten its `max_length`.")


def _model(feed: FeedOptions, number: str, message: str, hint: str) -> Error:
    return Error(f"{feed.model.__name__}.Pollable: {message}", hint=hint, obj=feed.model, id=f"pollable.{number}")
