"""Primary keys and scopes as text, the same from a trigger and from Python."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

if TYPE_CHECKING:
    Field = models.Field[Any, Any]
else:
    Field = models.Field

NULL = "~"
SEPARATOR = ","
ESCAPES = (("~", "~~"), (",", "~."))

UNLIMITED = 10**9
"""Stands for the length of a text that has no longest."""

_PLAIN = {escaped: character for character, escaped in ESCAPES}

_NUMBERS = {
    "AutoField",
    "BigAutoField",
    "BigIntegerField",
    "IntegerField",
    "PositiveBigIntegerField",
    "PositiveIntegerField",
    "PositiveSmallIntegerField",
    "SmallAutoField",
    "SmallIntegerField",
}
_PLAIN_NUMBERS = {getattr(models, name) for name in _NUMBERS}
_TEXTS = {"CharField", "SlugField"}


def own_field(field: Field) -> Field:
    """Return the field that holds the values of `field`: itself, or what its foreign keys point at."""
    while field.remote_field is not None:
        field = field.target_field  # type: ignore[attr-defined]
    return field


@dataclass(frozen=True, slots=True)
class KeyFields:
    """The fields whose values name an object or a scope. One field's text is the plain value."""

    fields: tuple[Field, ...]

    @property
    def unsupported(self) -> list[str]:
        """The names of fields whose text differs between databases or settings."""
        known = _NUMBERS | _TEXTS | {"UUIDField"}
        return [field.name for field in self.fields if own_field(field).get_internal_type() not in known]

    @property
    def max_length(self) -> int:
        """The longest text that values can make (characters)."""
        return sum(self._width(field) for field in self.fields) + len(self.fields) - 1

    def escapes(self, field: Field) -> bool:
        """Return whether the values of `field` can hold what separates values or stands for NULL."""
        return own_field(field).get_internal_type() in _TEXTS and (len(self.fields) > 1 or field.null)

    def encode(self, values: Sequence[Any], connection: BaseDatabaseWrapper) -> str:
        """
        Return the text of `values`, as a trigger on `connection` writes it.

        Raises:
            ValidationError: a value cannot be one of its field.
        """
        return SEPARATOR.join(
            self._encode(field, value, connection) for field, value in zip(self.fields, values, strict=True)
        )

    def decode(self, text: str) -> Any:
        """
        Return the value of `text`; a tuple where there are several fields.

        Raises:
            ValidationError: it is no text of such values.
        """
        if len(self.fields) == 1:
            return self._decode(self.fields[0], text)
        parts = text.split(SEPARATOR)
        if len(parts) != len(self.fields):
            raise ValidationError("The key has another number of values.")
        return tuple(self._decode(field, part) for field, part in zip(self.fields, parts, strict=True))

    def parse(self, text: str, connection: BaseDatabaseWrapper) -> Any:
        """
        Return the value of a `text` that a client sent, which `connection` can be asked for.

        Raises:
            ValidationError: no row can have that key.
        """
        value = self.decode(text)
        self.check(value if len(self.fields) > 1 else (value,), connection)
        return value

    def check(self, values: Sequence[Any], connection: BaseDatabaseWrapper) -> None:
        """
        Check that columns of `connection` can hold `values`, whatever else the fields' validators say.

        Raises:
            ValidationError: a value is out of its column's range, or too long.
        """
        for field, value in zip(self.fields, values, strict=True):
            own = own_field(field)
            found = own.to_python(value)
            if isinstance(found, str):
                _check_text(found, own.max_length, connection)
            elif isinstance(found, int):
                _check_number(found, own.get_internal_type(), connection)

    def _width(self, field: Field) -> int:
        own = own_field(field)
        length = (own.max_length or UNLIMITED) if own.get_internal_type() in _TEXTS else 36
        return length * (2 if self.escapes(field) else 1)

    def _encode(self, field: Field, value: Any, connection: BaseDatabaseWrapper) -> str:
        if value is None:
            return NULL
        own = own_field(field)
        if type(value) is int and type(own) in _PLAIN_NUMBERS:  # most keys, and a hundred of them on a page
            return str(value)
        text = str(own.get_db_prep_value(own.to_python(value), connection))
        if self.escapes(field):
            for character, escaped in ESCAPES:
                text = text.replace(character, escaped)
        return text

    def _decode(self, field: Field, text: str) -> Any:
        own = own_field(field)
        if self.escapes(field):
            text = re.sub("~[~.]", lambda escaped: _PLAIN[escaped[0]], text)
        return own.to_python(text)


def _check_text(text: str, max_length: int | None, connection: BaseDatabaseWrapper) -> None:
    if max_length is not None and len(text) > max_length:
        raise ValidationError("The text is too long.")
    if connection.vendor == "postgresql" and "\0" in text:
        raise ValidationError("PostgreSQL has no text with NUL.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValidationError("The text has half a surrogate pair.") from None


def _check_number(number: int, internal_type: str, connection: BaseDatabaseWrapper) -> None:
    least, most = connection.ops.integer_field_range(internal_type)
    if (least is not None and number < least) or (most is not None and number > most):
        raise ValidationError("The number is out of range.")
