"""Pages of a feed: by cursor (`since`), or by the last row's id (`after_id`)."""

from __future__ import annotations

from dataclasses import astuple, replace
from datetime import UTC
from typing import Any

from django.core.exceptions import ValidationError
from django.db import router
from django.http import HttpRequest
from django.utils.dateparse import parse_datetime
from rest_framework.pagination import BasePagination

from django_pollable.conditional import Validators, find_etag, matches
from django_pollable.conf import conf
from django_pollable.cursors import Binding, Cursor
from django_pollable.exceptions import CursorExpired, InvalidCursor, InvalidParameter, NotYetAvailable
from django_pollable.ledger.changes import ChangeLog
from django_pollable.ledger.sequencer import poll_state
from django_pollable.ledger.state import FeedState
from django_pollable.pages import Page, Position, Query, Rows

NOW = "now"
FIRST_SECOND, LAST_SECOND = 0, 253402300799


class FeedPagination(BasePagination):
    """What both paginators share: `limit`, cursors, and what makes a cursor expire."""

    page_size: int | None = None
    max_page_size: int | None = None
    limit_query_param = "limit"
    since_query_param = "since"
    own_parameters: tuple[str, ...] = ("limit", "since")

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> Any:
        raise TypeError(f"{type(self).__name__} pages a feed: use it in a view with PollableListMixin.")

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
        if isinstance(query.since, Cursor):
            _check(query.since, state, log)
            since = query.since
            return Position(since.sequence, since.key, until=since.until, last_key=since.last_key)
        if isinstance(query.since, int):
            if query.since < log.pruned_before():
                raise CursorExpired("Changes since that time are gone.", reason="history-pruned")
            found = log.position_at(query.since)
            return Position(state.head if found is None else min(found, state.head), is_url=True)
        return Position(state.head, None if query.since == NOW else "", is_url=True)

    def candidates(self, query: Query, position: Position, state: FeedState, request: HttpRequest) -> list[Validators]:
        """Return the validators of the answers that mean "nothing after your position", or that page again."""
        begins_at_end = position.is_url or position.is_at(state)
        last_modified = state.last_modified if begins_at_end else None
        found = []
        if begins_at_end:
            found.append(Validators(self._end_etag(query, state, state.head, ""), last_modified))
        if not position.is_at(state):
            found.append(Validators(self._page_etag(query, position, state), last_modified))
        return found

    def validators(
        self, query: Query, position: Position, page: Page, state: FeedState, request: HttpRequest
    ) -> Validators:
        """Return the validators of the 200 with `page`."""
        begins_at_end = position.is_url or position.is_at(state)
        last_modified = state.last_modified if begins_at_end else None
        etag = self._end_etag(query, state, page.next.sequence, page.end)
        if page.has_more or matches(request, etag):  # a middleware would make a 304 of a tag that was sent
            etag = self._page_etag(query, position, state)
        return Validators(etag, last_modified)

    def page(self, query: Query, position: Position, state: FeedState, rows: Rows) -> Page:
        """Return the page at `position`."""
        raise TypeError(f"{type(self).__name__} must define `page()`.")

    def _page_etag(self, query: Query, position: Position, state: FeedState) -> str:
        return query.etag(state, "page", state.head, *astuple(position))

    def _end_etag(self, query: Query, state: FeedState, sequence: int, end: str) -> str:
        return query.etag(state, "end", sequence)

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
            return Page([], [], Cursor(query.binding, state.epoch, state.head), has_more=False)
        if position.key is not None:
            return _first_sync(query, position, position.key, state, rows)
        return _changes(query, position, state, rows)


class AfterIdPagination(FeedPagination):
    """
    The rows after a row, for resources that only grow; in the order in which they became visible.

    Rows without a recorded change come first, by primary key. Removals are not told.
    """

    after_query_param = "after_id"
    own_parameters = ("limit", "since", "after_id")

    def parse(self, request: HttpRequest, binding: Binding, rows_key: Any) -> Query:
        sent = request.GET.get(self.after_query_param)
        since = self._since(request, binding)
        limit = self.get_limit(request)
        if sent is None or since is not None:
            return Query(binding, limit, since)
        try:
            key = rows_key(sent)
        except (ValidationError, ValueError, TypeError, OverflowError):
            raise InvalidParameter(f"`{self.after_query_param}` is no primary key.") from None
        return Query(binding, limit, None, key)

    def position(self, query: Query, state: FeedState, log: ChangeLog) -> Position:
        if query.after is None:
            return super().position(query, state, log)
        place = log.first_sequence_of(query.after)
        if place is None:
            place = log.horizon_of(query.after)
        if place is None and state.horizon == 0:
            return Position(state.head, query.after)
        if place is None or place < state.horizon:
            raise CursorExpired("The place of that id is gone.", reason="history-pruned")
        return Position(place)

    def candidates(self, query: Query, position: Position, state: FeedState, request: HttpRequest) -> list[Validators]:
        if query.after is not None:
            return [Validators(self._end_etag(query, state, state.head, query.after))]
        found = super().candidates(query, position, state, request)
        if position.is_url or position.is_at(state):
            sent = find_etag(request, self._end_etag(query, state, state.head, ""))
            return [Validators(sent or found[0].etag, found[0].last_modified), *found[1:]]
        return found

    def page(self, query: Query, position: Position, state: FeedState, rows: Rows) -> Page:
        items: list[Any] = []
        sequence, is_reset = position.sequence, position.key == ""
        if position.key is not None:
            items = rows.unrecorded_after(position.key, query.limit + 1)
            if len(items) > query.limit:
                del items[query.limit :]
                key = rows.key(items[-1])
                return Page(items, [], Cursor(query.binding, state.epoch, position.sequence, key), True, is_reset, key)
            sequence = 0
        window = rows.log.first_keys_after(sequence, head=state.head, limit=query.limit - len(items) + 1)
        has_more = len(window) > query.limit - len(items)
        window = window[: query.limit - len(items)]
        found = rows.by_keys(key for key, _ in window)
        items += [found[key] for key, _ in window if key in found]
        sequence = state.head if not has_more else window[-1][1] if window else sequence
        end = rows.key(items[-1]) if items else query.after or ""
        return Page(items, [], Cursor(query.binding, state.epoch, sequence), has_more, is_reset, end)

    def _end_etag(self, query: Query, state: FeedState, sequence: int, end: str) -> str:
        return query.etag(state, "end", sequence, end=end)


def _first_sync(query: Query, position: Position, key: str, state: FeedState, rows: Rows) -> Page:
    found = rows.after(key, query.limit + 1, last_key=position.last_key)
    has_more = len(found) > query.limit
    items = list({rows.key(row): row for row in found[: query.limit]}.values())
    end = Cursor(query.binding, state.epoch, position.sequence)
    if has_more:
        end = replace(end, key=rows.key(items[-1]), last_key=position.last_key or rows.last_key())
    return Page(items, [], end, has_more, position.is_url)


def _changes(query: Query, position: Position, state: FeedState, rows: Rows) -> Page:
    head = min(state.head, position.until or state.head)
    window, horizon = rows.log.window(position.sequence, head=head, limit=query.limit + 1)
    if position.sequence < horizon:
        raise CursorExpired("Changes after the cursor are gone.", reason="history-pruned")
    has_more = len(window) > query.limit
    window = window[: query.limit]
    keys = list(dict(window))
    found = rows.by_keys(keys) if keys else {}
    removed = rows.removals([key for key in keys if key not in found])
    sequence = window[-1][1] if has_more else max(head, position.sequence)
    items = [found[key] for key in keys if key in found]
    return Page(
        items, removed, Cursor(query.binding, state.epoch, sequence, until=head if has_more else None), has_more
    )


def _check(cursor: Cursor, state: FeedState, log: ChangeLog) -> None:
    if cursor.epoch != state.epoch or max(cursor.sequence, cursor.until or 0) > state.head:
        primary = router.db_for_write(log.feed.model)
        if primary != log.using:
            newest = poll_state(log.feed, log.scopes, using=primary)
            if cursor.epoch == newest.epoch and cursor.sequence <= newest.head:
                raise NotYetAvailable("This replica has not got so far.", retry_after=1)
        raise CursorExpired("The feed's history has begun anew.", reason="epoch-changed")
    if cursor.sequence < state.horizon:
        raise CursorExpired("Changes after the cursor are gone.", reason="history-pruned")


def _instant(text: str) -> int:
    """Return the Unix milliseconds of a Unix time or an ISO 8601 instant; without a zone it is UTC."""
    try:
        seconds = float(text)
    except ValueError:
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
