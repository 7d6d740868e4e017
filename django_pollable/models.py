"""Models whose changes can be polled."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from django_pollable.ledger.options import declare as register
from django_pollable.ledger.tables import Change, Feed, PendingChange, Scope

__all__ = ["Change", "Feed", "PendingChange", "PollableModel", "Scope", "register"]


class PollableModel(models.Model):
    """
    A model whose every change gets a place in a feed. It adds no field.

    Declare in `class Pollable`:
        `scope`: names of the fields that part the feed (`("project",)`);
        `follows`: relations whose rows belong to the representation (`("steps", "labels")`);
        `feed`: the feed's name, to keep it when the model is renamed.
    """

    class Pollable:
        scope: ClassVar[tuple[str, ...]] = ()
        follows: ClassVar[tuple[str, ...]] = ()

    class Meta:
        abstract = True
