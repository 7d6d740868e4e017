"""Models that mirrors fill."""

import uuid

from django.db import models


class ItemCopy(models.Model):
    tenant = models.IntegerField(null=True)
    name = models.CharField(max_length=50)
    status = models.CharField(max_length=10, default="")
    count = models.IntegerField(default=0)
    parts = models.JSONField(default=list)
    seen = models.DateTimeField(null=True)


class Folder(models.Model):
    code = models.UUIDField(primary_key=True, default=uuid.uuid4)


class Leaf(models.Model):
    """A foreign key to something else than an integer."""

    folder = models.ForeignKey(Folder, on_delete=models.CASCADE, db_constraint=False)
    at = models.DateTimeField(null=True)
    price = models.DecimalField(max_digits=6, decimal_places=2, default=0)
