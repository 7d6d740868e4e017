"""A cache that is down or slow is left alone for a while."""

from __future__ import annotations

from typing import NoReturn

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_pollable.caches import REST_SECONDS, SLOW_SECONDS, Rest
from tests.clocks import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


def fail() -> NoReturn:
    raise ConnectionError


def test_a_cache_that_answers_is_asked_each_time(clock: Clock) -> None:
    rest = Rest(clock)

    assert [rest.spare(lambda: "found", otherwise="nothing") for _ in range(3)] == ["found"] * 3


def test_a_failure_costs_one_request_in_a_while(clock: Clock) -> None:
    rest = Rest(clock)

    assert rest.spare(fail, otherwise="nothing") == "nothing"
    assert rest.spare(pytest.fail, otherwise="nothing") == "nothing"
    clock.now += REST_SECONDS
    assert rest.spare(lambda: "found", otherwise="nothing") == "found"


def test_what_came_slowly_is_taken_and_the_next_is_not_waited_for(clock: Clock) -> None:
    def answer_slowly() -> str:
        clock.now += SLOW_SECONDS + 0.1
        return "found"

    rest = Rest(clock)

    assert rest.spare(answer_slowly, otherwise="nothing") == "found"
    assert rest.spare(lambda: "found", otherwise="nothing") == "nothing"


def test_a_mistake_of_the_project_is_told(clock: Clock) -> None:
    def no_such_cache() -> str:
        raise ImproperlyConfigured

    with pytest.raises(ImproperlyConfigured):
        Rest(clock).spare(no_such_cache, otherwise="nothing")
