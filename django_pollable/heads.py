"""Where feeds stand, as polls see it: read anew, or from memory for as long as a view allows."""

from __future__ import annotations

import time
from typing import NamedTuple

from django.db import connections

from django_pollable.caches import is_shared, shared_cache, spare
from django_pollable.conf import conf
from django_pollable.cursors import Cursor, fingerprint_once
from django_pollable.exceptions import NotYetAvailable
from django_pollable.ledger.options import FeedOptions
from django_pollable.ledger.sequencer import poll_state, primary_of
from django_pollable.ledger.state import FeedState
from django_pollable.memory import Remembered

FORMAT = 1
"""Goes into the names of published heads: another one where `Published` is another."""

MOST = 4096
"""How many scopes' heads a process keeps."""

_copies: Remembered[FeedState] = Remembered(MOST)


class Place(NamedTuple):
    """Of whom a head is: scopes of a feed (None: the whole feed) in a database."""

    using: str
    feed: FeedOptions
    scopes: tuple[str, ...] | None

    @property
    def key(self) -> tuple[str, int, tuple[str, ...] | None]:
        """What tells it from others."""
        return self.using, self.feed.id, self.scopes

    def read(self) -> FeedState:
        """Settle what is pending and return the state."""
        return poll_state(self.feed, self.scopes, using=self.using)


class Published(NamedTuple):
    """A head that all processes show, and when it was read (Unix seconds)."""

    state: FeedState
    read_at: float


def head_of(place: Place, *, cursor: Cursor | None = None, is_public: bool = False) -> FeedState:
    """
    Return where `place` stands.

    Public answers show a head that advances once in `POLLABLE_PUBLISH_SECONDS` in all processes that share
    a cache; other ones may show a copy of this process, of at most `POLLABLE_HEAD_MAX_AGE_SECONDS`. One
    that is behind `cursor` is read anew. Within a transaction, which may see what others never will,
    nothing is taken from memory or put there.
    """
    max_age = _max_age(place, is_public)
    if max_age <= 0:
        return place.read()
    state = _copies.get(place.key, max_age)
    if state is None or not _knows(state, cursor):
        is_published = is_public and conf.publish_seconds > 0 and is_shared(shared_cache())
        state = _published(place, cursor) if is_published else _read(place)
    return state


def check_reached(place: Place, state: FeedState, *, is_public: bool = False) -> None:
    """
    Check that the database has what it is about to be asked for under `state`, which may be from memory.

    Of several standbys behind one name each lags by itself: one query where `place` is not the primary.

    Raises:
        NotYetAvailable: it has not got so far.
    """
    if _max_age(place, is_public) <= 0 or place.using == primary_of(place.feed, using=place.using):
        return
    here = place.read()
    if here.epoch != state.epoch or here.head < state.head:
        raise NotYetAvailable("This replica has not got so far.")


def _max_age(place: Place, is_public: bool) -> float:
    """Return how old a head may be (seconds): 0 where it must be read."""
    if connections[place.using].in_atomic_block:
        return 0
    return max(conf.head_max_age_seconds, conf.publish_seconds if is_public else 0)


def _read(place: Place) -> FeedState:
    """Read the state, and keep a copy of it; its age counts from before."""
    asked_at = _copies.clock()
    state = place.read()
    _copies.put(place.key, state, asked_at=asked_at)
    return state


def _published(place: Place, cursor: Cursor | None) -> FeedState:
    """Return the head that another process has published, or read it and publish it."""
    name = f"pollable:{conf.namespace}:head:{FORMAT}:{fingerprint_once(*place.key)}"
    found = _look(name, place, cursor)
    if found is not None:
        return found
    read_at = time.time()
    state = _read(place)
    published = Published(state, read_at)
    if not spare(lambda: shared_cache().add(name, published, conf.publish_seconds), otherwise=True):
        found = _look(name, place, cursor)
        if found is not None:
            return found
        spare(lambda: shared_cache().set(name, published, conf.publish_seconds), otherwise=None)
    return state


def _look(name: str, place: Place, cursor: Cursor | None) -> FeedState | None:
    """Return the published head if it knows `cursor`, and keep a copy for as long as it is the published one."""
    published: Published | None = spare(lambda: shared_cache().get(name), otherwise=None)
    if published is None or not _knows(published.state, cursor):
        return None
    age = min(max(0.0, time.time() - published.read_at), conf.publish_seconds)
    _copies.put(place.key, published.state, asked_at=_copies.clock() - age)
    return published.state


def _knows(state: FeedState, cursor: Cursor | None) -> bool:
    return cursor is None or cursor.is_known_at(state.epoch, state.head)
