"""Pages of a feed: by cursor (`since`), or by the last row's id (`after_id`)."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC
from typing import Any

from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.http import HttpRequest
from django.utils.dateparse import parse_datetime
from rest_framework.pagination import BasePagination

from django_pollable import openapi
from django_pollable.conditional import Validators, find_etag, weak_etag
from django_pollable.conf import conf
from django_pollable.cursors import Binding, Cursor
from django_pollable.exceptions import CursorExpired, InvalidCursor, InvalidParameter, NotYetAvailable
from django_pollable.ledger.changes import ChangeLog
from django_pollable.ledger.sequencer import is_settling, poll_state, primary_of
from django_pollable.ledger.state import FeedState
from django_pollable.pages import Page, Position, Query, Rows

NOW = "now"
FIRST_SECOND, LAST_SECOND = 0, 253402300799
_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?")


class FeedPagination(BasePagination):
    """What both paginators share: `limit`, cursors, and what makes a cursor expire."""

    page_size: int | None = None
    max_page_size: int | None = None
    limit_query_param = "limit"
    since_query_param = "since"

    @property
    def position_parameters(self) -> tuple[str, ...]:
        """The query parameters that name a position: a first sync has none of them."""
        return (self.since_query_param,)

    @property
    def own_parameters(self) -> tuple[str, ...]:
        """The query parameters that are no filters."""
        return (self.limit_query_param, *self.position_parameters)

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> Any:
        raise ImproperlyConfigured(
            f"{type(self).__name__} pages the `list` of a view with PollableListMixin, and nothing else. "
            "Give the other action a paginator of its own: `@action(..., pagination_class=PageNumberPagination)`."
        )

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        largest = self.max_page_size or conf.max_page_size
        default = min(self.page_size or conf.page_size, largest)
        return [
            openapi.since(self.since_query_param),
            openapi.limit(self.limit_query_param, default=default, largest=largest),
        ]

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return openapi.page(schema)

    def parse(self, request: HttpRequest, binding: Binding, rows_key: Any) -> Query:
        """
        Return what `request` asks.

        Raises:
            InvalidParameter, InvalidCursor: it makes no sense.
            CursorExpired: the cursor is of another scope, filter or representation.
        """
        return Query(binding, self.get_limit(request), self._since(request, binding))

    def get_limit(self, request: HttpRequest) -> int:
        """Return the number of items and removals of a page (rows)."""
        largest = self.max_page_size or conf.max_page_size
        sent = request.GET.get(self.limit_query_param)
        if sent is None:
            return min(self.page_size or conf.page_size, largest)
        if not (sent.isascii() and sent.isdigit()) or not sent.strip("0"):
            raise InvalidParameter(f"`{self.limit_query_param}` is a whole number from 1 to {largest}.")
        return largest if len(sent) > 9 else min(int(sent), largest)

    def position(self, query: Query, state: FeedState, log: ChangeLog) -> Position:
        """
        Return where the page begins.

        Raises:
            CursorExpired: what followed the cursor may be gone.
            NotYetAvailable: this replica has not got so far.
        """
        since = query.since
        if isinstance(since, Cursor):
            position = Position(since.sequence, since.key, since.until, since.last_key, since.horizon)
            _check(since, state, log)
            position.check(state.horizon)
            return position
        if isinstance(since, int):
            found = log.position_at(since)
            if since < log.pruned_before():  # read last: what was pruned meanwhile counts
                raise CursorExpired("Changes since that time are gone.", reason="history-pruned")
            return Position(state.head if found is None else min(found, state.head))
        return Position(state.head) if since == NOW else self.beginning(state)

    def beginning(self, state: FeedState) -> Position:
        """Return where a first sync begins."""
        return Position(state.head, "")

    def foresee(self, query: Query, position: Position, state: FeedState, request: HttpRequest) -> Validators:
        """
        Return the validators of the answer, as far as they can be known without its page.

        Its tag is one that was sent, where that is the tag of this very answer, or, for a cursor that
        nothing follows, of any answer that ended there.
        """
        last_modified = _last_modified(query, position, state)
        place = query.place(state, position.sequence) if query.is_at(position, state) else ""
        sent = find_etag(request, place=place) if place else None
        if sent is None:
            question = query.question(state, position)
            sent = find_etag(request, question=question) or weak_etag(question, place=place)
        return Validators(sent, last_modified)

    def etag(self, query: Query, position: Position, page: Page, state: FeedState) -> str:
        """Return the tag of the 200 with `page`: a full one's serves for no cursor."""
        place = "" if page.has_more else query.place(state, page.next.sequence)
        return weak_etag(query.question(state, position), place=place)

    def page(self, query: Query, position: Position, state: FeedState, rows: Rows) -> Page:
        """Return the page at `position`."""
        raise TypeError(f"{type(self).__name__} must define `page()`.")

    def _since(self, request: HttpRequest, binding: Binding) -> Cursor | int | str | None:
        sent = request.GET.get(self.since_query_param)
        if sent is None or sent == NOW:
            return sent
        if sent[:1].isdigit():
            return _instant(sent)
        cursor = Cursor.decode(sent)
        binding.check(cursor.binding)
        return cursor


class SincePagination(FeedPagination):
    """Every change after a cursor, newest state, in change order; without a cursor a first sync."""

    def page(self, query: Query, position: Position, state: FeedState, rows: Rows) -> Page:
        if query.since == NOW:
            rows.shown()  # filters may refuse what no cursor vouches for
            return Page([], [], Cursor(query.binding, state.epoch, state.head), has_more=False)
        if query.is_at(position, state):
            return Page([], [], Cursor(query.binding, state.epoch, position.sequence), has_more=False)
        if position.key is not None:
            return _first_sync(query, position, position.key, state, rows)
        return _changes(query, position, state, rows)


class AfterIdPagination(FeedPagination):
    """
    The rows after a row, for resources that only grow; in the order in which they became visible.

    Rows without a recorded change come first, by primary key. Removals are not told.
    """

    after_query_param = "after_id"

    @property
    def position_parameters(self) -> tuple[str, ...]:
        return (self.since_query_param, self.after_query_param)

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return [*super().get_schema_operation_parameters(view), openapi.after_id(self.after_query_param)]

    def parse(self, request: HttpRequest, binding: Binding, rows_key: Any) -> Query:
        sent = request.GET.get(self.after_query_param)
        since = self._since(request, binding)
        limit = self.get_limit(request)
        try:
            key = None if sent is None else rows_key(sent)
        except (ValidationError, ValueError, TypeError, OverflowError):
            raise InvalidParameter(f"`{self.after_query_param}` is no primary key.") from None
        return Query(binding, limit, since, key if since is None else None)

    def position(self, query: Query, state: FeedState, log: ChangeLog) -> Position:
        if query.after is None:
            return super().position(query, state, log)
        place = log.first_sequence_of(query.after)
        if place is None:
            place = log.horizon_of(query.after)
        if place is None and state.horizon == 0:
            return Position(0, query.after, horizon=0)
        if place is None or place < state.horizon:
            raise CursorExpired("The place of that id is gone.", reason="history-pruned")
        return Position(place)

    def beginning(self, state: FeedState) -> Position:
        return Position(0, "", horizon=state.horizon)

    def page(self, query: Query, position: Position, state: FeedState, rows: Rows) -> Page:
        """
        Return the page at `position`.

        A row that pruning leaves without a recorded change goes before those that have one: where the
        horizon passes the position, what it took may be behind the client.
        """
        is_reset = query.kind == "first"
        items: dict[str, Any] = {}
        if position.is_first_sync:
            found = rows.unrecorded_after(None if is_reset else position.key, query.limit + 1)
            items = rows.by_key(found[: query.limit])
            if len(found) > query.limit:
                end = Cursor(query.binding, state.epoch, 0, rows.key(found[query.limit - 1]), horizon=position.horizon)
                return Page(list(items.values()), [], end, has_more=True, is_reset=is_reset)
        room = query.limit - len(items)
        window, horizon = rows.log.first_keys_after(position.sequence, head=state.head, limit=room + 1)
        position.check(horizon)
        has_more, window = len(window) > room, window[:room]
        items |= rows.of_keys(key for key, _ in window if key not in items)
        sequence = state.head if not has_more else window[-1][1] if window else position.sequence
        end = Cursor(query.binding, state.epoch, sequence, horizon=horizon if horizon > sequence else None)
        return Page(list(items.values()), [], end, has_more, is_reset)


def _first_sync(query: Query, position: Position, key: str, state: FeedState, rows: Rows) -> Page:
    is_reset = query.kind == "first"
    found = rows.after(None if is_reset else key, query.limit + 1, last_key=position.last_key)
    has_more = len(found) > query.limit
    items = rows.by_key(found[: query.limit])
    end = Cursor(query.binding, state.epoch, position.sequence)
    if has_more:
        last_key = rows.last_key() if position.last_key is None else position.last_key
        end = replace(end, key=list(items)[-1], last_key=last_key)
    return Page(list(items.values()), [], end, has_more, is_reset)


def _changes(query: Query, position: Position, state: FeedState, rows: Rows) -> Page:
    head = min(state.head, position.until or state.head)
    window, horizon = rows.log.window(position.sequence, head=head, limit=query.limit + 1)
    position.check(horizon)
    has_more = len(window) > query.limit
    window = window[: query.limit]
    keys = list(dict(window))
    found = rows.of_keys(keys)
    removed = rows.removals([key for key in keys if key not in found])
    sequence = window[-1][1] if has_more else max(head, position.sequence)
    end = Cursor(query.binding, state.epoch, sequence, until=head if has_more else None)
    return Page(list(found.values()), removed, end, has_more)


def _last_modified(query: Query, position: Position, state: FeedState) -> int | None:
    """Return the second of the newest change, for an answer that nothing but the head decides."""
    return state.last_modified if query.kind != "cursor" or query.is_at(position, state) else None


def _check(cursor: Cursor, state: FeedState, log: ChangeLog) -> None:
    if cursor.is_known_at(state.epoch, state.head):
        return
    primary = primary_of(log.feed, using=log.using)
    may_come = cursor.epoch == state.epoch and is_settling(log.feed, using=primary)
    newest = poll_state(log.feed, log.scopes, using=primary)
    if may_come or cursor.is_known_at(newest.epoch, newest.head):
        raise NotYetAvailable("This database has not got so far.")
    raise CursorExpired("The feed's history has begun anew.", reason="epoch-changed")


def _instant(text: str) -> int:
    """Return the Unix milliseconds of a Unix time or an ISO 8601 instant; without a zone it is UTC."""
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        try:
            moment = parse_datetime(text.replace(" ", "+"))
        except ValueError:
            moment = None
        if moment is None:
            raise InvalidCursor("`since` is a cursor, a Unix time, an ISO 8601 instant or `now`.") from None
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not FIRST_SECOND <= seconds <= LAST_SECOND:
        raise InvalidCursor("`since` is out of range.")
    return int(seconds * 1000)
