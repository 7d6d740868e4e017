"""System checks: each misuse is named."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import connection, models
from django.test import override_settings
from django.test.utils import isolate_apps
from django.urls import path
from rest_framework.authentication import SessionAuthentication
from rest_framework.generics import ListAPIView
from rest_framework.views import APIView

from django_pollable.authentication import PollableTokenAuthentication
from django_pollable.caching import CachePolicy
from django_pollable.checks import databases
from django_pollable.checks import models as model_checks
from django_pollable.checks import settings as setting_checks
from django_pollable.checks import views as view_checks
from django_pollable.files import RangeMixin
from django_pollable.ledger import triggers
from django_pollable.ledger.options import Declaration, FeedOptions
from django_pollable.models import PollableModel
from django_pollable.pagination import SincePagination
from django_pollable.views import PollableListAPIView
from tests.shop.models import Capital, Item, Part, Tenant
from tests.shop.views import DraftlessItems, ItemSerializer


def ids(messages: Any) -> list[str]:
    return [message.id for message in messages]


@pytest.mark.django_db(databases=["default", "archive"])
def test_the_project_of_the_tests_passes_but_for_the_view_that_hides_rows() -> None:
    assert ids(run_checks()) == ["pollable.W024"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PAGE_SIZE", 0),
        ("PAGE_SIZE", 2000),
        ("MAX_PAGE_SIZE", "100"),
        ("SETTLE_BATCH", True),
        ("POLL_INTERVAL_SECONDS", -1),
        ("RETENTION_SECONDS", None),
        ("PROBLEM_BASE_URI", "problems"),
        ("CACHE_ALIAS", "unheard-of"),
        ("RETRY_AFTER_SPREAD_SECONDS", -1),
        ("FIRST_SYNC_SLOTS", 0),
        ("FIRST_SYNC_SLOTS", True),
        ("RATELIMIT_FAIL_OPEN", "open"),
        ("RATELIMIT_HEADERS", "x-ratelimit"),
        ("NUM_PROXIES", -1),
        ("NUM_PROXIES", None),
        ("IPV6_PREFIX_LENGTH", 129),
        ("TOKEN_MAX_AGE_SECONDS", -1),
        ("TOKEN_MAX_AGE_SECONDS", None),
        ("TOKEN_MAX_AGE_SECONDS", float("inf")),
    ],
)
def test_a_setting_that_cannot_be_is_refused(name: str, value: object) -> None:
    with override_settings(**{f"POLLABLE_{name}": value}):
        (message,) = setting_checks.check_settings(None)

    assert (message.id, message.msg) == ("pollable.E001", f"POLLABLE_{name} cannot be {value!r}.")


@pytest.mark.parametrize(
    ("name", "value"),
    [("FIRST_SYNC_SLOTS", 3), ("RATELIMIT_HEADERS", None), ("NUM_PROXIES", 2), ("TOKEN_MAX_AGE_SECONDS", 1)],
)
def test_a_setting_that_can_be_passes(name: str, value: object) -> None:
    with override_settings(**{f"POLLABLE_{name}": value}):
        assert setting_checks.check_settings(None) == []


@override_settings(RATELIMIT_USE_CACHE="unheard-of")
def test_the_cache_that_counts_must_exist() -> None:
    (message,) = setting_checks.check_settings(None)

    assert message.msg == "RATELIMIT_USE_CACHE cannot be 'unheard-of'."


@pytest.mark.parametrize(
    ("model", "declaration", "expected"),
    [
        (Item, Declaration(scope=("nothing",)), "pollable.E010"),
        (Capital, Declaration(scope=("name",)), "pollable.E011"),
        (Item, Declaration(follows=("nothing",)), "pollable.E012"),
        (Item, Declaration(follows=("name",)), "pollable.E012"),
        (Item, Declaration(scope=("data",)), "pollable.E013"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused(model: Any, declaration: Declaration, expected: str) -> None:
    assert ids(model_checks._check_feed(FeedOptions(model, "x", declaration))) == [expected]


@isolate_apps("tests.shop")
def test_a_key_that_can_be_too_long_is_refused() -> None:
    class Long(PollableModel):
        id = models.CharField(max_length=300, primary_key=True)

        class Meta:
            app_label = "shop"

    assert ids(model_checks._check_feed(FeedOptions(Long, "long", Declaration()))) == ["pollable.E014"]


def test_two_feeds_with_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    feeds = [FeedOptions(model, "same", Declaration()) for model in (Item, Tenant)]
    monkeypatch.setattr(model_checks, "feeds", lambda: feeds)

    assert ids(model_checks.check_models(None)) == ["pollable.E015"]


def test_a_paginator_of_feeds_needs_a_pollable_view() -> None:
    class Plain(ListAPIView):
        queryset = Item.objects.all()
        serializer_class = ItemSerializer
        pagination_class = SincePagination

    assert ids(view_checks._check_view(Plain)) == ["pollable.E020"]


def test_a_view_of_an_untracked_model_is_refused() -> None:
    class Tenants(PollableListAPIView):
        queryset = Tenant.objects.all()

    assert ids(view_checks._check_view(Tenants)) == ["pollable.E021"]


def test_a_view_of_a_model_with_a_scope_needs_get_scope() -> None:
    class Items(PollableListAPIView):
        queryset = Item.objects.all()

    assert ids(view_checks._check_view(Items)) == ["pollable.E022"]


def test_a_public_view_that_knows_its_users_draws_a_warning() -> None:
    class Items(DraftlessItems):
        varies_by_user = True
        discloses_removed = True

    assert ids(view_checks._check_view(Items)) == ["pollable.W023"]


def test_a_public_file_that_knows_its_users_draws_a_warning() -> None:
    class Report(RangeMixin, APIView):
        cache_policy = CachePolicy.public()
        authentication_classes = []

    assert ids(view_checks._check_view(Report)) == ["pollable.W023"]
    Report.varies_by_user = False
    assert ids(view_checks._check_view(Report)) == []


def test_a_view_that_asks_for_tokens_needs_a_table_of_them() -> None:
    class Abstract(models.Model):
        class Meta:
            abstract = True

    class Tableless(PollableTokenAuthentication):
        model = Abstract

    class Known(APIView):
        authentication_classes = [SessionAuthentication, PollableTokenAuthentication]

    class Unknown(APIView):
        authentication_classes = [Tableless]

    assert ids(view_checks._check_view(Known)) == []
    assert ids(view_checks._check_view(Unknown)) == ["pollable.E025"]


def test_views_are_found_through_includes() -> None:
    patterns = [path("x/", DraftlessItems.as_view()), path("y/", print)]

    assert list(view_checks.views_of(patterns)) == [DraftlessItems]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_reinstalled")
def test_a_missing_trigger_is_an_error() -> None:
    assert databases.check_triggers(None, databases=["default"]) == []

    triggers.drop("default", ["shop_log"])

    assert ids(databases.check_triggers(None, databases=["default"])) == ["pollable.W030"]


@pytest.mark.django_db(transaction=True)
def test_a_cascade_that_the_database_carries_out_is_an_error_where_it_fires_no_triggers() -> None:
    if connection.vendor != "mysql":
        pytest.skip("PostgreSQL and SQLite fire triggers for cascades")
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE shop_part ADD CONSTRAINT part_cascade FOREIGN KEY (item_id)"
            " REFERENCES shop_item (id) ON DELETE CASCADE"
        )
    try:
        assert ids(databases.check_triggers(None, databases=["default"])) == ["pollable.W031"]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE shop_part DROP FOREIGN KEY part_cascade")


@pytest.mark.skipif(not hasattr(models, "DB_CASCADE"), reason="Django before 6.1 has no DB_CASCADE")
@pytest.mark.parametrize("rule", ["DB_CASCADE", "DB_SET_NULL"])
def test_so_is_a_model_that_leaves_it_to_the_database(monkeypatch: pytest.MonkeyPatch, rule: str) -> None:
    """What MariaDB and MySQL are asked besides their own tables."""
    item = Part._meta.get_field("item")
    monkeypatch.setattr(item.remote_field, "on_delete", getattr(models, rule))

    assert ids(message for message in databases._check_on_delete("default") if message.obj is item) == ["pollable.E032"]


@pytest.mark.django_db
def test_a_partition_draws_a_warning_where_its_writes_are_not_seen() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL has partitions that are tables")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE shop_log_2026 () INHERITS (shop_log)")

    (found,) = databases.check_triggers(None, databases=["default"])
    assert (found.id, found.msg.split()[0]) == ("pollable.W033", "shop_log")


@pytest.mark.django_db
def test_replace_draws_a_warning_where_its_removals_are_not_seen() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite hides them")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA recursive_triggers = OFF")
    try:
        assert ids(databases.check_triggers(None, databases=["default"])) == ["pollable.W034"]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA recursive_triggers = ON")
