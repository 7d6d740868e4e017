"""What a process remembers for a while."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from django_pollable.memory import Remembered
from tests.clocks import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(clock: Clock) -> Remembered[str]:
    return Remembered(3, clock)


def test_a_value_is_remembered_until_it_is_too_old(memory: Remembered[str], clock: Clock) -> None:
    memory.put("key", "value")
    clock.now += 0.75

    assert memory.get("key", 1) == "value"
    assert memory.get("key", 0.5) is None

    clock.now += 0.25

    assert memory.get("key", 1) is None


def test_no_value_is_younger_than_nothing(memory: Remembered[str]) -> None:
    memory.put("key", "value")

    assert memory.get("key", 0) is None


def test_an_age_counts_from_when_the_value_was_asked_for(memory: Remembered[str], clock: Clock) -> None:
    asked_at = clock()
    clock.now += 0.5
    memory.put("key", "value", asked_at=asked_at)

    assert memory.get("key", 0.75) == "value"
    assert memory.get("key", 0.5) is None


def test_a_later_value_takes_the_place_of_an_earlier_one(memory: Remembered[str], clock: Clock) -> None:
    memory.put("key", "earlier")
    clock.now += 1
    memory.put("key", "later")

    assert memory.get("key", 0.1) == "later"
    assert len(memory) == 1


def test_what_was_used_the_longest_ago_makes_room(memory: Remembered[str]) -> None:
    for key in "abc":
        memory.put(key, key)
    memory.get("a", 1)
    memory.put("d", "d")

    assert [memory.get(key, 1) for key in "abcd"] == ["a", None, "c", "d"]


def test_a_forgotten_value_is_gone_and_others_stay(memory: Remembered[str]) -> None:
    memory.put("key", "value")
    memory.put("other", "value")
    memory.forget("key")
    memory.forget("unknown")

    assert memory.get("key", 1) is None
    assert memory.get("other", 1) == "value"


def test_everything_can_be_forgotten(memory: Remembered[str]) -> None:
    memory.put("key", "value")
    memory.clear()

    assert memory.get("key", 1) is None
    assert len(memory) == 0


@pytest.mark.parametrize("forget", [lambda memory: memory.forget("key"), lambda memory: memory.clear()])
def test_what_was_asked_for_before_it_was_forgotten_is_not_remembered(
    memory: Remembered[str], clock: Clock, forget: object
) -> None:
    asked_at = clock()
    forget(memory)  # type: ignore[operator]
    memory.put("key", "value", asked_at=asked_at)

    assert memory.get("key", 1) is None

    clock.now += 0.25
    memory.put("key", "value", asked_at=clock())

    assert memory.get("key", 1) == "value"


def test_threads_share_a_memory() -> None:
    memory: Remembered[int] = Remembered(50)

    def use(start: int) -> None:
        for number in range(start, start + 2_000):
            memory.put(number % 70, number % 70)
            assert memory.get(number % 70, 1e6) in (None, number % 70)
            memory.forget(number % 7)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(use, range(8)))

    assert len(memory) <= 50
