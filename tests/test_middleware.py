"""What is answered where a view cannot be called, or cannot end."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, ProgrammingError, connection, transaction
from django.test import Client, override_settings

from tests.shop.models import Tenant

pytestmark = pytest.mark.django_db(transaction=True)
OUTAGES = "django_pollable.middleware.OutageMiddleware"


@pytest.fixture
def url() -> str:
    return f"/open/{Tenant.objects.create(name='a').pk}/items/"


@pytest.fixture
def _atomic() -> Any:
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    yield
    connection.settings_dict["ATOMIC_REQUESTS"] = False


@pytest.mark.usefixtures("_atomic")
def test_a_transaction_that_cannot_begin_is_reduced_capacity(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(transaction.Atomic, "__enter__", fail)

    with override_settings(MIDDLEWARE=[OUTAGES]):
        answer = Client().get(url)

    assert (answer.status_code, answer["Content-Type"]) == (503, "application/problem+json")
    assert answer["Cache-Control"] == "no-store"
    assert int(answer["Retry-After"]) >= 1


@pytest.mark.parametrize("error", [ProgrammingError("syntax"), OperationalError(1054, "x"), ValueError("bug")])
@pytest.mark.usefixtures("_atomic")
def test_a_bug_stays_a_bug(error: Exception, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise error

    monkeypatch.setattr(transaction.Atomic, "__enter__", fail)

    with override_settings(MIDDLEWARE=[OUTAGES]), pytest.raises(type(error)):
        Client().get(url)
