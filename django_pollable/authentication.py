"""Authentication by token for a fraction of its cost: by one statement, or by none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from hashlib import blake2s
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db import connections, router
from django.db.models import Model
from django.db.models.signals import post_delete, post_save
from django.utils.translation import gettext_lazy as _
from rest_framework.authentication import TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed

from django_pollable.conf import conf
from django_pollable.memory import Remembered
from django_pollable.tokens import Row, TokenTable, is_plain

__all__ = ["PollableTokenAuthentication"]

SIZE = 4096
"""How many tokens, and how many users, a process remembers of a token model."""

IMMUTABLE = frozenset({str, bytes, memoryview, int, float, bool, type(None), date, datetime, timedelta, Decimal, UUID})
"""Types of values that two users may have in common."""


class PollableTokenAuthentication(TokenAuthentication):
    """
    REST framework's authentication by token, in one statement and without most of the ORM's work.

    With `POLLABLE_TOKEN_MAX_AGE_SECONDS` the process remembers tokens and their users for so long. Tokens of a
    model that has a manager of its own are found by that, as REST framework finds them.
    """

    def authenticate_credentials(self, key: str) -> tuple[Any, Any]:
        """
        Return the user and the token that have `key`.

        Raises:
            AuthenticationFailed: there is no such token, or its user is not active.
        """
        if "\0" in key:  # PostgreSQL cannot be asked for it
            raise AuthenticationFailed(_("Invalid token."))
        tokens = tokens_of(self.get_model())
        if tokens is None:
            return super().authenticate_credentials(key)
        token = tokens.find(key, max_age=conf.token_max_age_seconds)
        if token is None:
            raise AuthenticationFailed(_("Invalid token."))
        if not token.user.is_active:
            raise AuthenticationFailed(_("User inactive or deleted."))
        return token.user, token


class Tokens:
    """
    The tokens of a model, of which the process remembers those that it has seen of late.

    A token or a user that is saved or deleted in this process is forgotten at once.
    """

    def __init__(self, model: type[Model], clock: Callable[[], float] = time.monotonic) -> None:
        self._table = TokenTable(model)
        self._key_at = self._table.names.index(self._table.key.attname)
        self._link_at = self._table.names.index(self._table.link.attname)
        self._tokens: Remembered[Row] = Remembered(SIZE, clock)
        self._users: Remembered[Row] = Remembered(SIZE, clock)
        self._is_watching = False

    def find(self, key: str, *, max_age: float) -> Any:
        """
        Return the token that has `key`, which knows its user, or None: by one statement, or by none.

        An active user is remembered for `max_age` seconds, though neither in a transaction nor out of one: what is
        seen there may never come to be.
        """
        using = router.db_for_read(self._table.model)
        if not max_age or connections[using].in_atomic_block:
            row = self._table.read(key, using)
            return row and self._table.build(row, using)
        self._watch()
        row = self._recall(key, using, max_age)
        return self._table.build(row, using) if row else self._learn(key, using)

    def _recall(self, key: str, using: str, max_age: float) -> Row | None:
        value = self._table.key.to_python(key)
        token = self._tokens.get((using, _digest(value)), max_age)
        user = self._users.get((using, token[self._link_at]), max_age) if token else None
        if not token or not user:
            return None
        return _copy((*token[: self._key_at], value, *token[self._key_at + 1 :], *user))

    def _learn(self, key: str, using: str) -> Any:
        asked_at = self._tokens.clock()
        row = self._table.read(key, using)
        if row is None:
            return None
        kept, count, at = _copy(row), len(self._table.names), self._key_at
        token = self._table.build(row, using)
        if token.user.is_active and connections[using].get_autocommit():
            # By its own key, which a collation may have taken for the one asked for. Whoever asks by it has it.
            without_key = (*kept[:at], None, *kept[at + 1 : count])
            self._tokens.put((using, _digest(row[at])), without_key, asked_at=asked_at)
            self._users.put((using, row[self._link_at]), kept[count:], asked_at=asked_at)
        return token

    def _watch(self) -> None:
        """Listen to those who can change tokens and users; listening to all would slow deletions of every model."""
        if self._is_watching:
            return
        for signal in (post_save, post_delete):
            for model in _relatives(self._table.model):
                signal.connect(self._forget_token, sender=model)
            for model in _relatives(self._table.user_model):
                signal.connect(self._forget_user, sender=model)
        self._is_watching = True

    def _forget_token(self, instance: Any, using: str, created: bool = True, **kwargs: Any) -> None:
        if created and isinstance(instance, self._table.model):
            key = getattr(instance, self._table.key.attname)
            _when_committed(using, self._tokens, _digest(self._table.key.to_python(key)))
        else:  # its key may have been another
            _when_committed(using, self._tokens)

    def _forget_user(self, instance: Any, using: str, **kwargs: Any) -> None:
        named_by = self._table.link.target_field
        if named_by.primary_key and isinstance(instance, self._table.user_model):
            _when_committed(using, self._users, named_by.to_python(getattr(instance, named_by.attname)))
        else:
            _when_committed(using, self._users)


@cache
def tokens_of(model: type[Model]) -> Tokens | None:
    """Return the tokens of `model` as this process knows them, or None where only their manager can tell."""
    return Tokens(model) if is_plain(model) else None


def _relatives(model: type[Model]) -> Iterator[type[Model]]:
    """Yield the models that have a table in common with `model`: it, its parents, its children, and proxies."""
    family = _ancestry(model)
    return (other for other in apps.get_models() if family & _ancestry(other))


def _ancestry(model: type[Model]) -> set[type[Model]]:
    concrete = model._meta.concrete_model or model
    return {concrete, *concrete._meta.get_parent_list()}


def _when_committed(using: str, memory: Remembered[Row], key: Any = None) -> None:
    """Forget `key`, or everything, in every database: where one is written, copies of it may be read."""

    def forget() -> None:
        if key is None:
            memory.clear()
            return
        for alias in connections:
            memory.forget((alias, key))

    connection = connections[using]
    if connection.in_atomic_block:
        connection.on_commit(forget)
    else:
        forget()


def _copy(row: Row) -> Row:
    """Return the values of `row`, of which none is changed where this one is."""
    return tuple(value if type(value) in IMMUTABLE else deepcopy(value) for value in row)


def _digest(key: Any) -> bytes:
    return blake2s(str(key).encode(), digest_size=16).digest()
