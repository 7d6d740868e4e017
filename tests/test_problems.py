"""Errors that Django REST framework or the project's own code answers."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpResponse
from rest_framework.exceptions import APIException
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory

from tests.shop.views import AllItems

pytestmark = pytest.mark.django_db


def ask(error: Exception, handler: Any = None) -> Any:
    class Failing(AllItems):
        def get_queryset(self) -> Any:
            raise error

        def get_exception_handler(self) -> Any:
            return handler or super().get_exception_handler()

    return Failing.as_view()(APIRequestFactory().get("/"))


class Calm(APIException):
    status_code = 420


def test_a_status_without_a_name_is_a_problem_too() -> None:
    answer = ask(Calm("calm down"))

    assert (answer.status_code, answer.data["title"], answer.data["detail"]) == (420, "Status 420", "calm down")


def test_what_a_projects_own_handler_has_rendered_stays_and_is_not_stored() -> None:
    answer = ask(Calm(), lambda _error, _context: HttpResponse("own", status=420))

    assert (answer.content, answer["Cache-Control"]) == (b"own", "no-store")


@pytest.mark.parametrize("data", [None, ["a"], {"detail": "a"}])
def test_what_a_projects_own_handler_says_is_in_the_problem(data: Any) -> None:
    answer = ask(Calm(), lambda _error, _context: Response(data, status=400))

    assert answer.data["type"].endswith("error")
    assert answer.data.get("errors") == (data if data != {"detail": "a"} else None)


def test_what_a_projects_own_handler_does_not_answer_is_raised() -> None:
    with pytest.raises(Calm):
        ask(Calm(), lambda _error, _context: None)
