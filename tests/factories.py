"""Rows of the models that the tests poll."""

from __future__ import annotations

from typing import Any

import factory
from django.contrib.auth.models import User
from factory.django import DjangoModelFactory

from tests.shop.models import (
    ArchivedItem,
    Author,
    Capital,
    Country,
    Document,
    Item,
    Label,
    Log,
    Note,
    Part,
    Price,
    Tenant,
)


class UserFactory(DjangoModelFactory[User]):
    class Meta:
        model = User

    username = factory.Sequence("user-{}".format)


class TenantFactory(DjangoModelFactory[Tenant]):
    class Meta:
        model = Tenant

    name = factory.Sequence("tenant-{}".format)


class LabelFactory(DjangoModelFactory[Label]):
    class Meta:
        model = Label

    name = factory.Sequence("label-{}".format)


class AuthorFactory(DjangoModelFactory[Author]):
    class Meta:
        model = Author

    name = factory.Sequence("author-{}".format)


class ItemFactory(DjangoModelFactory[Item]):
    class Meta:
        model = Item
        skip_postgeneration_save = True

    tenant = factory.SubFactory(TenantFactory)
    name = factory.Sequence("item-{}".format)

    @factory.post_generation
    def labels(self: Any, create: bool, extracted: Any, **kwargs: Any) -> None:
        if extracted:
            self.labels.set(extracted)


class PartFactory(DjangoModelFactory[Part]):
    class Meta:
        model = Part

    item = factory.SubFactory(ItemFactory)
    name = factory.Sequence("part-{}".format)


class NoteFactory(DjangoModelFactory[Note]):
    class Meta:
        model = Note

    part = factory.SubFactory(PartFactory)
    text = factory.Sequence("note-{}".format)


class LogFactory(DjangoModelFactory[Log]):
    class Meta:
        model = Log

    text = factory.Sequence("log-{}".format)


class DocumentFactory(DjangoModelFactory[Document]):
    class Meta:
        model = Document

    owner = factory.SubFactory(UserFactory)
    title = factory.Sequence("document-{}".format)


class PriceFactory(DjangoModelFactory[Price]):
    class Meta:
        model = Price

    product = factory.Sequence(int)
    currency = "EUR"
    amount = 1


class CountryFactory(DjangoModelFactory[Country]):
    class Meta:
        model = Country

    code = factory.Sequence("c{}".format)
    name = factory.Sequence("country-{}".format)


class CapitalFactory(CountryFactory):
    class Meta:
        model = Capital

    mayor = factory.Sequence("mayor-{}".format)


class ArchivedItemFactory(DjangoModelFactory[ArchivedItem]):
    class Meta:
        model = ArchivedItem

    name = factory.Sequence("archived-{}".format)
