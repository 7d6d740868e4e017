"""Answers for everybody, and what takes that back."""

from __future__ import annotations

import logging
import pickle
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from django_pollable import headers
from django_pollable.caching import CachePolicy
from django_pollable.conditional import NotModified, Validators


@pytest.fixture(params=[HttpResponse, NotModified])
def public(request: pytest.FixtureRequest) -> Any:
    headers._log.cache_clear()
    response = request.param()
    CachePolicy.public(max_age=3).patch(response)
    return response


def test_an_answer_for_everybody_says_so(public: Any) -> None:
    public.headers["Vary"] = "Accept, Accept-Encoding"

    assert public["Cache-Control"] == "public, max-age=3"
    assert dict(public.items())["Cache-Control"] == "public, max-age=3"


@pytest.mark.parametrize("vary", ["Cookie", "Accept, Authorization", "accept,cookie", "*"])
def test_an_answer_that_varies_by_the_client_is_not_public(public: Any, vary: str) -> None:
    public.headers["Vary"] = vary

    assert public["Cache-Control"] == "private, max-age=0"
    assert dict(public.items())["Cache-Control"] == "private, max-age=0"


def test_an_answer_that_sets_a_cookie_is_not_public(public: Any, caplog: pytest.LogCaptureFixture) -> None:
    public.set_cookie("sessionid", "secret")

    with caplog.at_level(logging.WARNING):
        assert [public["Cache-Control"] for _ in range(3)] == ["private, max-age=0"] * 3

    assert caplog.messages == ["an answer that was to be public sets cookies ['sessionid']: no cache may share it"]


def test_a_cookie_in_the_fields_counts_like_any_other(public: Any) -> None:
    public.headers["Set-Cookie"] = "a=b"

    assert public["Cache-Control"] == "private, max-age=0"


def test_what_a_cache_of_django_keeps_stays_public(public: Any) -> None:
    kept = pickle.loads(pickle.dumps(public))

    assert kept["Cache-Control"] == "public, max-age=3"
    kept.delete_cookie("sessionid")
    assert kept["Cache-Control"] == "private, max-age=0"


def test_a_private_answer_stays_what_the_view_said() -> None:
    response = HttpResponse(headers={"Vary": "Cookie", "Cache-Control": "no-store"})
    CachePolicy.private().patch(response)

    assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "sent", ['"place.tag-gzip"', 'W/"place.tag-gzip"', '"place.tag--gzip"', '"place.tag-br"', '"x", W/"place.tag-df"']
)
def test_a_proxy_that_compresses_leaves_the_tag_the_same(sent: str) -> None:
    request = RequestFactory().get("/", headers={"If-None-Match": sent})

    assert Validators('W/"place.tag"').is_current(request)


def test_a_tag_that_ends_as_if_a_proxy_had_added_to_it_is_itself() -> None:
    request = RequestFactory().get("/", headers={"If-None-Match": 'W/"tag-br"'})

    assert Validators('W/"tag-br"').is_current(request)
    assert not Validators('W/"other"').is_current(request)
