"""System checks: every setting and every misuse that can be seen before a request comes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.apps import apps
from django.core.cache import caches
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as Advice
from django.core.exceptions import FieldDoesNotExist
from django.db import DatabaseError, connections
from django.urls import URLPattern, URLResolver, get_resolver

from django_pollable.conf import conf
from django_pollable.exceptions import NotTracked
from django_pollable.ledger.keys import KeyFields
from django_pollable.ledger.options import FeedOptions, feed_of, feeds
from django_pollable.ledger.tables import KEY_LENGTH, SCOPE_LENGTH, VIA_LENGTH
from django_pollable.ledger.triggers import compare
from django_pollable.ledger.watches import watches
from django_pollable.pagination import FeedPagination
from django_pollable.views import PollableListMixin, PollableMixin

Rule = tuple[Callable[[Any], bool], str]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


A_COUNT: Rule = (lambda value: _is_integer(value) and value > 0, "Give it a positive whole number.")
A_TIME: Rule = (lambda value: _is_number(value) and value > 0, "Give it a positive number of seconds.")
A_CACHE: Rule = (lambda value: value in caches.settings, "Name one of CACHES.")
RULES: dict[str, Rule] = {
    "page_size": A_COUNT,
    "max_page_size": A_COUNT,
    "settle_batch": A_COUNT,
    "poll_interval_seconds": A_TIME,
    "retention_seconds": A_TIME,
    "problem_base_uri": (lambda value: isinstance(value, str) and ":" in value, "Give it an absolute URI."),
    "cache_alias": A_CACHE,
    "ratelimit_cache_alias": A_CACHE,
    "retry_after_spread_seconds": (
        lambda value: value == conf.poll_interval_seconds or (_is_number(value) and value >= 0),
        "Give it seconds; 0 for no spread.",
    ),
    "first_sync_slots": (
        lambda value: value is None or A_COUNT[0](value),
        "Give it a positive whole number, or None for any number: without a slot nobody can begin.",
    ),
    "ratelimit_fail_open": (lambda value: isinstance(value, bool), "Say True or False."),
    "ratelimit_headers": (
        lambda value: value in ("RateLimit", "X-RateLimit", None),
        "Say 'RateLimit', 'X-RateLimit' or None.",
    ),
    "num_proxies": (lambda value: _is_integer(value) and value >= 0, "Count the trusted proxies; 0 for none."),
    "ipv6_prefix_length": (lambda value: _is_integer(value) and 1 <= value <= 128, "Give it bits, from 1 to 128."),
}


@register("pollable")
def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E001: a setting has a value that it cannot have."""
    wrong: list[CheckMessage] = [
        _setting(name, getattr(conf, name), hint)
        for name, (can_be, hint) in RULES.items()
        if not can_be(getattr(conf, name))
    ]
    if not wrong and conf.page_size > conf.max_page_size:
        wrong.append(_setting("page_size", conf.page_size, "Let it be at most POLLABLE_MAX_PAGE_SIZE."))
    return wrong


@register(Tags.models)
def check_models(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E010 to E015: what `class Pollable` says cannot be."""
    found: list[CheckMessage] = []
    names: dict[int, FeedOptions] = {}
    for feed in feeds():
        found += _check_feed(feed)
        other = names.setdefault(feed.id, feed)
        if other is not feed:
            found.append(
                Error(
                    f"The feeds {other.name} and {feed.name} have the same id.",
                    hint='Give one of them another name: `feed = "..."` in `class Pollable`.',
                    obj=feed.model,
                    id="pollable.E015",
                )
            )
    return found


def _check_feed(feed: FeedOptions) -> Iterator[CheckMessage]:
    own = {field.name for field in feed.model._meta.local_concrete_fields}
    for name in feed.declaration.scope:
        if name not in {field.name for field in feed.model._meta.concrete_fields}:
            yield _model(feed, "E010", f"scope field '{name}' does not exist.", "Name a concrete field.")
        elif name not in own:
            yield _model(
                feed,
                "E011",
                f"scope field '{name}' is a column of a parent's table: a deletion would not know its scope.",
                "Let the child declare `class Pollable: scope = (...)` of its own fields, or ().",
            )
    yield from _check_keys(feed, feed.key, KEY_LENGTH, "primary key")
    if set(feed.declaration.scope) <= own:
        yield from _check_keys(feed, feed.scope, SCOPE_LENGTH, "scope")
    try:
        followed = watches(feed)
    except FieldDoesNotExist as error:
        yield _model(feed, "E012", f"`follows`: {error}", "Name foreign keys, many-to-many or reverse relations.")
        return
    for watch in followed:
        yield from _check_keys(feed, watch.keys, KEY_LENGTH, f"key of '{watch.path}'")
        if len(watch.via) > VIA_LENGTH:
            yield _model(feed, "E012", f"`follows`: '{watch.path}' is too long.", "Follow fewer relations.")


def _check_keys(feed: FeedOptions, keys: KeyFields, limit: int, what: str) -> Iterator[CheckMessage]:
    if keys.unsupported:
        hint = "Use integer, character or UUID fields, or foreign keys to them."
        yield _model(feed, "E013", f"the {what} has fields without a stable text: {keys.unsupported}.", hint)
    elif keys.max_length > limit:
        yield _model(feed, "E014", f"the {what} can be longer than {limit} characters.", "Shorten its `max_length`.")


@register(Tags.urls)
def check_views(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E020 to E022, W023, W024: a view cannot be polled, or not safely."""
    found: list[CheckMessage] = []
    for view in dict.fromkeys(views_of(get_resolver().url_patterns)):
        found += _check_view(view)
    return found


def _check_view(view: type) -> Iterator[CheckMessage]:
    queryset = getattr(view, "queryset", None)
    if _pages_a_feed(view) and not issubclass(view, PollableListMixin):
        yield Error(
            f"'{view.__name__}' pages a feed, but is not a pollable view.",
            hint="Derive it from PollableListMixin.",
            obj=view,
            id="pollable.E020",
        )
    if not issubclass(view, PollableMixin) or queryset is None:
        return
    try:
        feed = feed_of(queryset.model)
    except NotTracked as error:
        yield Error(f"'{view.__name__}': {error}", obj=view, id="pollable.E021")
        return
    if feed.declaration.scope and view.get_scope is PollableMixin.get_scope:
        yield Error(
            f"'{view.__name__}' must define `get_scope()`: "
            f"{feed.model.__name__} declares scope {feed.declaration.scope}.",
            hint="Return None there to serve the whole feed.",
            obj=view,
            id="pollable.E022",
        )
    if view.cache_policy.is_public and (view.authentication_classes or view.varies_by_user):
        yield Advice(
            f"'{view.__name__}' is cached publicly, but knows its users.",
            hint="Set `authentication_classes = []` and `varies_by_user = False`, or a private policy.",
            obj=view,
            id="pollable.W023",
        )
    if queryset.query.where and view.discloses_removed is None:
        yield Advice(
            f"The queryset of '{view.__name__}' hides rows: one that it begins to hide stays with clients.",
            hint="Set `discloses_removed = True` to tell their keys, or False where that is meant; or use a scope.",
            obj=view,
            id="pollable.W024",
        )


@register(Tags.database)
def check_triggers(app_configs: Any, databases: Iterable[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """W030, W031, E032, W033, W034: a database does not see every write. Only what `migrate` cannot mend stops it."""
    found: list[CheckMessage] = []
    for using in databases or ():
        try:
            difference = compare(using)
        except DatabaseError:
            continue  # no connection, or no tables yet: `migrate` says so
        wrong = {trigger.table for trigger in difference.missing} | {table for _, table in difference.stale}
        wrong |= {*difference.waiting, *difference.untrusted}
        if wrong:
            found.append(
                Advice(
                    f"Database '{using}' may not see every write to: {', '.join(sorted(wrong))}.",
                    hint="Run `manage.py migrate` and `manage.py pollable check`.",
                    id="pollable.W030",
                )
            )
        found += BLIND_SPOTS[connections[using].vendor](using)
    return found


def _tables(using: str) -> set[str]:
    """Return the tables whose writes the triggers in the database `using` should see."""
    mine = [feed for feed in feeds() if feed.is_on(using)]
    return {feed.model._meta.db_table for feed in mine} | {watch.table for feed in mine for watch in watches(feed)}


def _check_mysql(using: str) -> Iterator[CheckMessage]:
    yield from _check_cascades(using)
    yield from _check_on_delete(using)


def _check_postgresql(using: str) -> Iterator[CheckMessage]:
    """Statement-level triggers fire for the table that a statement names, and not for its partitions."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT p.relname FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent"
            " WHERE p.relkind IN ('r', 'p') AND p.relname = ANY(%s)",
            [list(_tables(using))],
        )
        parents = sorted(name for (name,) in cursor.fetchall())
    for table in parents:
        yield Advice(
            f"{table} has partitions: a write that names one of them fires no triggers.",
            hint=f"Write to {table} itself.",
            id="pollable.W033",
        )


def _check_sqlite(using: str) -> Iterator[CheckMessage]:
    """With triggers of the project's own, `recursive_triggers` stays off."""
    with connections[using].cursor() as cursor:
        cursor.execute("PRAGMA recursive_triggers")
        (is_on,) = cursor.fetchone()
    if not is_on:
        yield Advice(
            f"Database '{using}' hides from triggers what REPLACE removes by another unique key.",
            hint="Write `INSERT ... ON CONFLICT` instead, or set `PRAGMA recursive_triggers = ON` in `init_command`.",
            id="pollable.W034",
        )


def _check_cascades(using: str) -> Iterator[CheckMessage]:
    """MariaDB and MySQL fire no triggers for what a foreign key does by itself."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT table_name, constraint_name FROM information_schema.referential_constraints"
            " WHERE constraint_schema = DATABASE()"
            " AND (delete_rule IN ('CASCADE', 'SET NULL') OR update_rule IN ('CASCADE', 'SET NULL'))"
        )
        rules = cursor.fetchall()
    for table, constraint in rules:
        if table in _tables(using):
            yield Advice(
                f"The foreign key {constraint} of {table} deletes or changes rows without firing triggers.",
                hint="Use `on_delete=models.CASCADE` or `SET_NULL`, which Django carries out itself.",
                id="pollable.W031",
            )


def _check_on_delete(using: str) -> Iterator[CheckMessage]:
    """The same as the models declare it: Django 6.1's `DB_CASCADE` and `DB_SET_NULL`."""
    for feed in feeds():
        tables = {feed.model._meta.db_table, *(watch.table for watch in watches(feed))} if feed.is_on(using) else set()
        for model in apps.get_models(include_auto_created=True):
            for field in model._meta.local_fields if model._meta.db_table in tables else ():
                on_delete = getattr(field.remote_field, "on_delete", None)
                if type(on_delete).__name__ == "DatabaseOnDelete":
                    yield Error(
                        f"{field} is deleted by the database, which fires no triggers for it.",
                        hint="Use `on_delete=models.CASCADE` or `SET_NULL`, which Django carries out itself.",
                        obj=field,
                        id="pollable.E032",
                    )


BLIND_SPOTS = {"mysql": _check_mysql, "postgresql": _check_postgresql, "sqlite": _check_sqlite}


def views_of(patterns: Iterable[Any]) -> Iterator[type]:
    """Yield the classes of class-based views among URL patterns, as often as they occur."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from views_of(pattern.url_patterns)
        elif isinstance(pattern, URLPattern):
            view = getattr(pattern.callback, "cls", None) or getattr(pattern.callback, "view_class", None)
            if view is not None:
                yield view


def _pages_a_feed(view: type) -> bool:
    paginator = getattr(view, "pagination_class", None)
    return isinstance(paginator, type) and issubclass(paginator, FeedPagination)


def _setting(name: str, value: object, hint: str) -> Error:
    title = "RATELIMIT_USE_CACHE" if name == "ratelimit_cache_alias" else f"POLLABLE_{name.upper()}"
    return Error(f"{title} cannot be {value!r}.", hint=hint, id="pollable.E001")


def _model(feed: FeedOptions, number: str, message: str, hint: str) -> Error:
    return Error(f"{feed.model.__name__}.Pollable: {message}", hint=hint, obj=feed.model, id=f"pollable.{number}")
