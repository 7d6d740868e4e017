"""`ModelMirror`: the rows of a model, equal to a feed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import transaction
from django.db.models import Field, ForeignKey, Model

from django_pollable.client.answers import Page
from django_pollable.client.machine import Outcome
from django_pollable.client.poller import Poller
from django_pollable.mirror.models import Mark
from django_pollable.mirror.stores import DjangoStore, digest_of, upsert

SWEEP_ROWS = 1000


class ModelMirror:
    """
    Keeps the rows of `model` equal to the feed of `poller`; other rows are deleted after a first sync.

    Each page is one transaction with its checkpoint and marks, so that a mirror that is killed goes on where it was,
    also in the middle of a first sync. Members of an item become the fields of their names; others are left out.
    Override `get_values()` for more. The model should have no unique field but its primary key, for pages
    tell the newest state and not the way there, and no signals are sent for upserts.

    Raises:
        ImproperlyConfigured: the poller's store is no `DjangoStore`, or the model cannot be mirrored.
    """

    def __init__(self, model: type[Model], poller: Poller, *, key: str = "") -> None:
        if not isinstance(poller.store, DjangoStore):
            raise ImproperlyConfigured("A mirror stores its place with its rows: Poller(..., store=DjangoStore()).")
        if len(model._meta.pk_fields) > 1 if hasattr(model._meta, "pk_fields") else False:
            raise ImproperlyConfigured(f"{model.__name__} has a composite primary key: mirror into another model.")
        self.model, self.poller = model, poller
        self.key = key or model._meta.pk.name
        self._using = poller.store.using
        self._digest = digest_of(poller.key)
        self._fields = model._meta.concrete_fields

    def run(self) -> None:
        """Follow the feed until `poller.stop()`."""
        self.poller.run(self.apply)

    def catch_up(self) -> Outcome:
        """Follow the feed to its end."""
        return self.poller.catch_up(self.apply)

    def apply(self, page: Page) -> None:
        """
        Take in a page and its checkpoint in one transaction.

        Raises:
            ImproperlyConfigured: the items have no member for the primary key.
        """
        with transaction.atomic(using=self._using):
            marks = Mark.objects.using(self._using).filter(digest=self._digest)
            if page.is_reset:
                marks.all().delete()
            rows = list({row.pk: row for row in map(self._row, page.items)}.values())
            upsert(rows, self._updated(page.items), using=self._using)
            self._rows().filter(pk__in=list(self._pks(page.removed))).delete()
            if page.ends_reset:
                self._sweep({str(row.pk) for row in rows})
                marks.delete()
            elif self._is_resetting(page):
                upsert([Mark(digest=self._digest, key=str(row.pk)) for row in rows], [], using=self._using)
            self.poller.ack()

    def get_values(self, item: Any) -> dict[str, Any]:
        """Return the values of the model's fields, by their column names, that `item` has."""
        if not isinstance(item, dict) or item.get(self.key) is None:
            raise ImproperlyConfigured(f"The items have no {self.key!r}: name the member that has the primary key.")
        values = {self.model._meta.pk.attname: _value(self.model._meta.pk, item[self.key])}
        for field in self._fields:
            if field.name in item and not field.primary_key:
                values[field.attname] = _value(field, item[field.name])
        return values

    def _row(self, item: Any) -> Model:
        return self.model(**self.get_values(item))

    def _updated(self, items: list[Any]) -> list[str]:
        """Return the fields that every one of `items` has."""
        common = set.intersection(*(set(self.get_values(item)) for item in items)) if items else set()
        return [field.name for field in self._fields if field.attname in common and not field.primary_key]

    def _is_resetting(self, page: Page) -> bool:
        pending = self.poller.pending
        return page.is_reset or (pending is not None and pending.is_resetting)

    def _sweep(self, seen: set[str]) -> None:
        """Delete the rows that were neither marked nor `seen`, some at a time."""
        last = None
        while True:
            rows = self._rows().order_by("pk")
            keys = list((rows if last is None else rows.filter(pk__gt=last)).values_list("pk", flat=True)[:SWEEP_ROWS])
            if not keys:
                return
            texts = [str(key) for key in keys]
            marked = Mark.objects.using(self._using).filter(digest=self._digest, key__in=texts)
            kept = seen | set(marked.values_list("key", flat=True))
            rows.filter(pk__in=[key for key in keys if str(key) not in kept]).delete()
            last = keys[-1]

    def _pks(self, keys: list[str]) -> Iterator[Any]:
        """Return the primary keys that `keys` name; what cannot be one is no row of ours."""
        for key in keys:
            try:
                yield _value(self.model._meta.pk, key)
            except ValidationError:
                continue

    def _rows(self) -> Any:
        return self.model._base_manager.using(self._using)


def _value(field: Field[Any, Any], value: Any) -> Any:
    """Return what JSON's `value` is to `field`, or to the field that its foreign key points at."""
    while isinstance(field, ForeignKey):
        field = field.target_field
    return field.to_python(value)
