"""The pages of feeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.formats import number_format
from django.utils.http import urlencode

from django_pollable.admin.drawing import chart_of
from django_pollable.admin.pages import DatabaseFilter, LedgerAdmin, LinkedList, using_of
from django_pollable.admin.texts import at_most, lasting, when
from django_pollable.conf import conf
from django_pollable.ledger import history
from django_pollable.ledger.activity import last_day
from django_pollable.ledger.options import FeedOptions
from django_pollable.ledger.pruning import prune_in_batches
from django_pollable.ledger.sequencer import settle_in_batches
from django_pollable.ledger.status import MOST_PENDING, MOST_ROWS, databases, feeds_on, rows_of, status_of
from django_pollable.ledger.tables import Feed
from django_pollable.ledger.triggers import compare

Batches = Callable[..., Iterator[int]]

MOST_SECONDS = 10.0
"""How long an action works before it leaves the rest for the next time."""
NOTHING = "-"
TRUST = (
    "Where triggers are missing, or a feed is not trusted since their installation was interrupted, it may have missed"
    " changes: <code>manage.py pollable install</code> puts them in place and begins a new epoch."
)


class FeedList(LinkedList):
    """A list that tells how each feed does."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list: Any = with_status(self.result_list, using_of(request))


def with_status(rows: Iterable[Any], using: str) -> list[Any]:
    """Return the feeds' `rows` with their `feed`, `status` and `difference`: None where no model has the feed."""
    known = {feed.id: feed for feed in feeds_on(using)}
    difference = compare(using)
    found = list(rows)
    for row in found:
        row.feed = known.get(row.pk)
        row.status = row.feed and status_of(row.feed, using)
        row.difference = row.feed and difference.of(row.feed)
    return found


@admin.register(Feed)
class FeedAdmin(LedgerAdmin):
    """Where each feed stands; actions settle, prune and begin a new epoch."""

    list_display = ("name", "head", "newest_change", "backlog", "lowest", "is_trusted", "has_triggers")
    list_filter = (DatabaseFilter,)
    list_per_page = 50
    ordering = ("name",)
    actions = ("settle", "prune", "begin_epoch")
    fieldsets = (
        (None, {"fields": ("tracked", "database", "scope", "follows")}),
        ("History", {"fields": ("head", "newest_change", "backlog", "lowest", "epoch")}),
        ("Retention", {"fields": ("retention", "reach")}),
        ("Triggers", {"fields": ("is_trusted", "triggers"), "description": TRUST}),
    )
    readonly_fields = tuple(flatten_fieldsets(fieldsets))
    change_form_template = "admin/pollable/feed/change_form.html"

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may run the actions."""
        return bool(request.user.has_perm("pollable.change_feed"))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return FeedList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        return row and with_status([row], using_of(request))[0]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        row = context["original"]
        context |= {
            "chart": row.status and chart_of(last_day(row.feed, row.status.using)),
            "scopes_query": urlencode({"feed_id": row.pk, "using": row._state.db}),
            "may_view_scopes": request.user.has_perm("pollable.view_scope"),
        }
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description="model")
    def tracked(self, row: Any) -> str:
        return row.feed.model._meta.label if row.feed else "no model has this feed any more"

    @admin.display
    def database(self, row: Any) -> str:
        return str(row._state.db)

    @admin.display
    def scope(self, row: Any) -> str:
        return ", ".join(row.feed.declaration.scope if row.feed else ()) or "none: all clients share one"

    @admin.display
    def follows(self, row: Any) -> str:
        return ", ".join(row.feed.declaration.follows if row.feed else ()) or NOTHING

    @admin.display
    def head(self, row: Any) -> str:
        return number_format(row.sequence)

    @admin.display(description="horizon")
    def lowest(self, row: Any) -> str:
        return number_format(row.horizon)

    @admin.display(description="newest change")
    def newest_change(self, row: Any) -> str:
        seconds = row.status and row.status.quiet_seconds
        if seconds is None:
            return NOTHING
        return f"{when(datetime.now(UTC) - timedelta(seconds=seconds))} ({lasting(seconds)} ago)"

    @admin.display(description="pending")
    def backlog(self, row: Any) -> str:
        return at_most(row.status.pending, MOST_PENDING) if row.status else NOTHING

    @admin.display(description="trusted", boolean=True)
    def is_trusted(self, row: Any) -> bool | None:
        return row.status.is_trusted if row.status else None

    @admin.display(description="triggers", boolean=True)
    def has_triggers(self, row: Any) -> bool | None:
        return not row.difference if row.feed else None

    @admin.display
    def triggers(self, row: Any) -> str:
        if not row.feed:
            return NOTHING
        return "\n".join(row.difference.lines()) or "all in place"

    @admin.display
    def retention(self, row: Any) -> str:
        return lasting(conf.retention_seconds)

    @admin.display(description="oldest valid cursor")
    def reach(self, row: Any) -> str:
        return f"{lasting(row.status.retained_seconds)} ago" if row.status else NOTHING

    @admin.action(description="Settle: number pending changes", permissions=["operate"])
    def settle(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        self._work(request, rows, "Settled {} pending changes", settle_in_batches)

    @admin.action(description="Prune: forget changes older than the retention", permissions=["operate"])
    def prune(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        self._work(request, rows, "Pruned {} changes", prune_in_batches)

    @admin.action(description="Begin a new epoch: every client resyncs", permissions=["operate"])
    def begin_epoch(self, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
        chosen = self._known(rows)
        if "is_confirmed" not in request.POST:
            return self._ask(request, chosen, rows.db)
        for row, feed in chosen:
            history.renew(feed, rows.db)
            self._tell(request, row, "Began a new epoch")
        return None

    def _work(
        self, request: HttpRequest, rows: QuerySet[Any], text: str, batches: Callable[..., Iterator[int]]
    ) -> None:
        """Take the batches of each feed, and leave the rest after `MOST_SECONDS`."""
        until = time.monotonic() + MOST_SECONDS
        for row, feed in self._known(rows):
            total, more = 0, ""
            for count in batches(feed, using=rows.db):
                total += count
                if time.monotonic() > until:
                    more = " There may be more: do it again, or on the command line."
                    break
            self._tell(request, row, text.format(total), more)

    def _known(self, rows: QuerySet[Any]) -> list[tuple[Feed, FeedOptions]]:
        known = {feed.id: feed for feed in feeds_on(rows.db)}
        return [(row, known[row.pk]) for row in rows if row.pk in known]

    def _tell(self, request: HttpRequest, row: Feed, text: str, more: str = "") -> None:
        """Log what was done, and tell the user, too."""
        place = f" in '{row._state.db}'" if len(databases()) > 1 else ""
        self.log_change(request, row, f"{text}{place}.{more}")
        self.message_user(request, f"{text} of {row.name}{place}.{more}", messages.SUCCESS)

    def _ask(self, request: HttpRequest, chosen: list[tuple[Feed, FeedOptions]], using: str) -> HttpResponse:
        """Return the page that says what a new epoch costs."""
        context = {
            **self.admin_site.each_context(request),
            "title": "Begin a new epoch?",
            "opts": self.opts,
            "media": self.media,
            "costs": [(row, at_most(rows_of(feed, using), MOST_ROWS)) for row, feed in chosen],
            "using": using,
            "page_size": conf.page_size,
            "slots": conf.first_sync_slots,
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/pollable/feed/begin_epoch.html", context)
