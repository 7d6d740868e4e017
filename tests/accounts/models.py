"""Users and tokens other than Django's and REST framework's own."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import models


class Reversed(models.CharField):
    """A text that the database holds backwards."""

    def get_prep_value(self, value: Any) -> Any:
        return value and value[::-1]

    def from_db_value(self, value: Any, *args: Any) -> Any:
        return value and value[::-1]


class Person(AbstractBaseUser):
    """A value of each kind that a database gives in another form."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=50, unique=True)
    is_active = models.BooleanField(default=True)
    preferences = models.JSONField(default=dict)
    balance = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    born_on = models.DateField(null=True)
    wakes_at = models.TimeField(null=True)
    absence = models.DurationField(null=True)
    picture = models.BinaryField(default=b"")
    contract = models.FileField(null=True)
    secret = Reversed(max_length=50, default="")
    manager = models.ForeignKey("self", on_delete=models.SET_NULL, null=True)

    USERNAME_FIELD = "name"


class Employee(Person):
    """A user in two tables."""

    badge = models.IntegerField(unique=True, null=True)


class Colleague(Employee):
    class Meta:
        proxy = True


class PersonToken(models.Model):
    """One of many of a person. Its key is not its primary key, and can be written in several ways."""

    key = models.UUIDField(unique=True, default=uuid.uuid4)
    user = models.ForeignKey(Person, on_delete=models.CASCADE)
    note = models.CharField(max_length=50, default="")


class EmployeeToken(models.Model):
    key = Reversed(max_length=40, unique=True, db_column="secret_key")
    user = models.OneToOneField(Employee, on_delete=models.CASCADE, related_name="token")

    class Meta:
        ordering = ["-key"]


class BadgeToken(models.Model):
    """Names its user by something else than the primary key."""

    key = models.CharField(max_length=40, primary_key=True)
    user = models.ForeignKey(Employee, on_delete=models.CASCADE, to_field="badge")


class ValidTokens(models.Manager):
    def get_queryset(self) -> models.QuerySet:
        return super().get_queryset().filter(is_valid=True)


class ManagedToken(models.Model):
    """A token that only its manager can find."""

    key = models.CharField(max_length=40, unique=True)
    user = models.ForeignKey(Person, on_delete=models.CASCADE)
    is_valid = models.BooleanField(default=True)

    objects = ValidTokens()
