"""The tables of the ledger, in every database that holds a tracked model."""

from __future__ import annotations

import secrets

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

KEY_LENGTH = 255
SCOPE_LENGTH = 400
VIA_LENGTH = 200


def new_epoch() -> str:
    """Return a new name for an unbroken history."""
    return secrets.token_hex(6)


class KeyField(models.CharField):  # type: ignore[type-arg]
    """Text that is compared character by character, whatever the database's collation."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        if connection.vendor != "mysql":
            return super().db_type(connection)
        collation = "utf8mb4_nopad_bin" if getattr(connection, "mysql_is_mariadb", False) else "utf8mb4_0900_bin"
        return f"varchar({self.max_length}) CHARACTER SET utf8mb4 COLLATE {collation}"


class Feed(models.Model):
    """The ordered stream of changes of one model. `id` is a hash of `name`, the same in every database."""

    id = models.PositiveIntegerField(primary_key=True)
    name = models.CharField(max_length=200, unique=True)
    epoch = models.CharField(max_length=16, default=new_epoch)
    sequence = models.BigIntegerField(default=0)
    horizon = models.BigIntegerField(default=0)
    settled_to = models.BigIntegerField(default=0, help_text="The highest pending change numbered so far.")
    modified_at = models.BigIntegerField(default=0, help_text="Unix second that Last-Modified may tell.")
    pruned_before = models.BigIntegerField(
        default=0, help_text="Changes recorded before this Unix millisecond are gone."
    )

    def __str__(self) -> str:
        return str(self.name)


class Scope(models.Model):
    """The part of a feed that one group of clients may see: its head and its horizon."""

    feed_id = models.PositiveIntegerField()
    name = KeyField(max_length=SCOPE_LENGTH)
    sequence = models.BigIntegerField(default=0)
    horizon = models.BigIntegerField(default=0)
    horizon_key = KeyField(max_length=KEY_LENGTH, default="", help_text="The key of the change at the horizon.")
    modified_at = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["feed_id", "name"], name="pollable_scope_name")]

    def __str__(self) -> str:
        return str(self.name)


class Change(models.Model):
    """
    The newest change of one object in one scope.

    `first_sequence` is where the object first stood in the scope; `removed` is advisory: whether
    the object is there is for its own table to say.
    """

    pk = models.CompositePrimaryKey("feed_id", "key", "scope")
    feed_id = models.PositiveIntegerField()
    key = KeyField(max_length=KEY_LENGTH)
    scope = KeyField(max_length=SCOPE_LENGTH)
    sequence = models.BigIntegerField()
    first_sequence = models.BigIntegerField()
    removed = models.BooleanField()
    changed_at = models.BigIntegerField(help_text="When it got its number: Unix milliseconds, the database's clock.")

    class Meta:
        indexes = [
            models.Index(fields=["feed_id", "scope", "sequence"], name="pollable_change_scope"),
            models.Index(fields=["feed_id", "sequence"], name="pollable_change_feed"),
        ]

    def __str__(self) -> str:
        return f"{self.key} at {self.sequence}"


class PendingChange(models.Model):
    """
    A trigger's note of a change that has no number yet.

    `via` says what `key` is the key of: "" of the row itself (its `scope` stands beside it), an ORM
    look-up (`labels__pk`) of a row that belongs to the representation of others, `*` of a whole table.
    """

    id = models.BigAutoField(primary_key=True)
    feed_id = models.PositiveIntegerField()
    scope = KeyField(max_length=SCOPE_LENGTH, default="")
    key = KeyField(max_length=KEY_LENGTH, default="")
    removed = models.BooleanField(default=False)
    via = models.CharField(max_length=VIA_LENGTH, default="")

    class Meta:
        indexes = [models.Index(fields=["feed_id", "id"], name="pollable_pending_feed")]

    def __str__(self) -> str:
        return f"{self.via or 'row'} {self.key}"
