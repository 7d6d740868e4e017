"""Negotiation from memory finds what REST framework finds."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from django_pollable import negotiation
from django_pollable.memory import Remembered
from django_pollable.negotiation import RememberedNegotiation
from django_pollable.views import PollableListAPIView


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(negotiation, "_found", Remembered(4))


def request_for(accept: str | None, query: dict[str, str] | None = None) -> Request:
    return Request(APIRequestFactory().get("/", query, **({} if accept is None else {"HTTP_ACCEPT": accept})))


def choose(negotiator: Any, request: Request, suffix: str | None = None) -> tuple[type, str]:
    renderer, media_type = negotiator.select_renderer(request, [JSONRenderer(), BrowsableAPIRenderer()], suffix)
    return type(renderer), media_type


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "*/*",
        "application/json",
        "application/json; indent=4",
        "text/html,application/xhtml+xml,*/*;q=0.8",
        "text/*",
        "text/html" + ", image/png" * 40,
    ],
)
def test_the_choice_is_rest_framework_s_own_each_time(accept: str | None) -> None:
    remembering = [choose(RememberedNegotiation(), request_for(accept)) for _ in range(3)]

    assert remembering == [choose(DefaultContentNegotiation(), request_for(accept))] * 3


@pytest.mark.parametrize(("query", "suffix"), [({"format": "api"}, None), ({}, "api")])
def test_a_format_that_is_asked_for_is_not_remembered(query: dict[str, str], suffix: str | None) -> None:
    assert choose(RememberedNegotiation(), request_for("*/*"))[0] is JSONRenderer
    assert choose(RememberedNegotiation(), request_for("*/*", query), suffix)[0] is BrowsableAPIRenderer
    assert choose(RememberedNegotiation(), request_for("*/*"))[0] is JSONRenderer


def test_other_renderers_are_another_question() -> None:
    request = request_for("*/*")
    first = RememberedNegotiation().select_renderer(request, [JSONRenderer(), BrowsableAPIRenderer()])
    second = RememberedNegotiation().select_renderer(request, [BrowsableAPIRenderer(), JSONRenderer()])

    assert [type(renderer) for renderer, _ in (first, second)] == [JSONRenderer, BrowsableAPIRenderer]


def test_what_is_not_acceptable_stays_so() -> None:
    for _ in range(2):
        with pytest.raises(NotAcceptable):
            choose(RememberedNegotiation(), request_for("image/png"))


def test_what_clients_send_does_not_fill_the_memory() -> None:
    for number in range(10):
        choose(RememberedNegotiation(), request_for(f"application/json; version={number}"))

    assert len(negotiation._found) == 4


def test_a_view_keeps_a_negotiation_of_its_own() -> None:
    class Own(DefaultContentNegotiation):
        pass

    class View(PollableListAPIView):
        content_negotiation_class = Own

    assert type(View().get_content_negotiator()) is Own
    assert type(PollableListAPIView().get_content_negotiator()) is RememberedNegotiation
