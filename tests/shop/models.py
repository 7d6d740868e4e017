"""One model for each kind that a feed can have."""

import uuid

from django.contrib.auth.models import User
from django.db import models

from django_pollable.models import PollableModel
from tests.shop import cascades


class Tenant(models.Model):
    name = models.CharField(max_length=50)


class Label(models.Model):
    name = models.CharField(max_length=50)


class Author(models.Model):
    name = models.CharField(max_length=50)


class Item(PollableModel):
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE)
    name = models.CharField(max_length=50, default="")
    code = models.CharField(max_length=50, unique=True, null=True)
    status = models.CharField(max_length=10, default="new")
    count = models.IntegerField(default=0)
    data = models.JSONField(default=dict)
    updated_at = models.DateTimeField(null=True)
    author = models.ForeignKey(Author, on_delete=models.SET_NULL, null=True)
    labels = models.ManyToManyField(Label)

    class Pollable:
        scope = ("tenant",)
        follows = ("parts__notes", "labels", "author")


if cascades.ARE_FOLLOWED:

    class Ticket(PollableModel):
        """Deleted by the database with its tenant."""

        tenant = models.ForeignKey(Tenant, on_delete=models.DB_CASCADE)


class Part(models.Model):
    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="parts")
    name = models.CharField(max_length=50)


class Note(models.Model):
    part = models.ForeignKey(Part, on_delete=models.CASCADE, related_name="notes")
    text = models.CharField(max_length=50)


class Log(PollableModel):
    """Append-only, without a scope."""

    text = models.CharField(max_length=50)


class Document(PollableModel):
    """A UUID for a key and two fields for a scope, one of which can hold anything."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    owner = models.ForeignKey(User, on_delete=models.CASCADE)
    folder = models.CharField(max_length=50, null=True)
    title = models.CharField(max_length=50)

    class Pollable:
        scope = ("owner", "folder")
        feed = "documents"


class Price(PollableModel):
    """A composite primary key."""

    pk = models.CompositePrimaryKey("product", "currency")
    product = models.IntegerField()
    currency = models.CharField(max_length=3)
    amount = models.IntegerField()


class Country(PollableModel):
    """A key that a case-insensitive collation would confuse."""

    code = models.CharField(max_length=10, primary_key=True)
    name = models.CharField(max_length=50)


class Capital(Country):
    """A child table."""

    mayor = models.CharField(max_length=50)


class SmallCountry(Country):
    class Meta:
        proxy = True


class Embassy(PollableModel):
    """Shows rows that have columns in a parent's table, and rows of a proxy."""

    capital = models.ForeignKey(Capital, on_delete=models.CASCADE)
    sender = models.ForeignKey(SmallCountry, on_delete=models.CASCADE, related_name="+")

    class Pollable:
        follows = ("capital", "sender")


class Building(models.Model):
    number = models.AutoField(primary_key=True)
    height = models.IntegerField()


class Palace(PollableModel, Tenant, Building):
    """Two parents, of which one has the primary key."""


class ArchivedItem(PollableModel):
    """In another database."""

    name = models.CharField(max_length=50)
