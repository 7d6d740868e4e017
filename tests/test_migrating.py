"""Migrations: no write fails because of a trigger, and what was not seen meanwhile is told by a new epoch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState, ProjectState
from django.db.models.signals import pre_migrate

from django_pollable.ledger import triggers
from django_pollable.ledger.options import feed_of
from django_pollable.ledger.tables import Feed
from django_pollable.ledger.triggers.plans import tables_in_the_way
from tests.factories import ItemFactory, LabelFactory
from tests.shop.models import Country, Item, Log

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_reinstalled")]

REMOVAL = migrations.RemoveField("log", "text")
ADDITION = migrations.AddField("log", "size", models.IntegerField(null=True))
OTHER_COLUMN = migrations.AlterField("log", "text", models.CharField(max_length=50, db_column="words"))
SAME_COLUMN = migrations.AlterField("log", "text", models.CharField(max_length=60))


def execute(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def installed_of(model: type[models.Model]) -> int:
    """Return how many triggers the feed of `model` has."""
    difference = triggers.compare("default")
    return sum(
        trigger.feed_id == feed_of(model).id and trigger not in difference.missing
        for trigger in triggers.expected("default")
    )


def plan(app: str, *operations: Any, backwards: bool = False) -> list[Any]:
    migration = migrations.Migration("0002_test", app)
    migration.operations = list(operations)
    return [(migration, backwards)]


def state() -> ProjectState:
    return MigrationLoader(connection).project_state()


def before_migrating(steps: list[Any]) -> None:
    pre_migrate.send(apps.get_app_config("pollable"), plan=steps, apps=state().apps, using="default", verbosity=0)


@contextmanager
def migrated(operation: Any) -> Iterator[None]:
    """Be in the middle of a migration: its operation is done, the triggers are not yet back."""
    before, after = state(), state()
    operation.state_forwards("shop", after)
    before_migrating(plan("shop", operation))
    with connection.schema_editor() as editor:
        operation.database_forwards("shop", editor, before, after)
    try:
        yield
    finally:
        with connection.schema_editor() as editor:
            operation.database_backwards("shop", editor, after, before)


@pytest.mark.parametrize(
    ("operation", "write"),
    [
        (REMOVAL, "DELETE FROM shop_log"),
        (OTHER_COLUMN, "UPDATE shop_log SET words = 'new'"),
        (migrations.RenameField("log", "text", "words"), "UPDATE shop_log SET words = 'new'"),
        (
            migrations.SeparateDatabaseAndState([migrations.RenameField("log", "text", "words")]),
            "UPDATE shop_log SET words = 'new'",
        ),
        (migrations.AlterModelTable("Log", "shop_journal"), "UPDATE shop_journal SET text = 'new'"),
        (migrations.RenameModel("Item", "Thing"), "DELETE FROM shop_thing_labels"),
        (migrations.RenameModel("Label", "Tag"), "DELETE FROM shop_item_labels"),
    ],
)
def test_writes_go_on_in_the_middle_of_a_migration(operation: Any, write: str) -> None:
    Log.objects.create(text="old")
    ItemFactory(labels=[LabelFactory()])

    with migrated(operation):
        execute(write)


def test_a_column_that_went_unseen_is_told_by_a_new_epoch() -> None:
    Log.objects.create(text="old")
    before = Feed.objects.get(pk=feed_of(Log).id).epoch

    with migrated(OTHER_COLUMN):
        execute("UPDATE shop_log SET words = 'new'")
    triggers.install("default")

    assert Feed.objects.get(pk=feed_of(Log).id).epoch != before


@pytest.mark.parametrize(
    "steps",
    [
        plan("shop", REMOVAL),
        plan("shop", OTHER_COLUMN),
        plan("shop", SAME_COLUMN, backwards=True),
        plan("shop", migrations.DeleteModel("Log")),
        plan("shop", migrations.RenameField("log", "text", "words")),
        plan("shop", migrations.RenameField("log", "text", "words"), backwards=True),
        plan("shop", migrations.RenameModel("Log", "Journal"), migrations.RemoveField("journal", "text")),
        plan("shop", migrations.SeparateDatabaseAndState([REMOVAL])),
        plan("shop", ADDITION, backwards=True),
        plan("shop", migrations.CreateModel("Log", []), backwards=True),
    ],
)
def test_a_migration_that_takes_columns_first_drops_the_triggers_that_name_them(steps: list[Any]) -> None:
    before_migrating(steps)

    assert installed_of(Log) == 0
    assert (installed_of(Country) == 0) == (connection.vendor == "sqlite")


@pytest.mark.parametrize(
    "steps",
    [
        plan("shop", ADDITION),
        plan("shop", SAME_COLUMN),
        plan("shop", REMOVAL, backwards=True),
        plan("shop", migrations.SeparateDatabaseAndState([], [REMOVAL])),
        plan("shop", migrations.AlterField("log", "other", models.IntegerField())),
        plan("shop", migrations.RunSQL("SELECT 1")),
    ],
)
def test_a_migration_that_takes_none_leaves_the_triggers_but_on_sqlite(steps: list[Any]) -> None:
    before = installed_of(Log)

    before_migrating(steps)

    assert installed_of(Log) == (0 if connection.vendor == "sqlite" else before) != -1


def test_a_migration_of_a_followed_table_drops_the_triggers_of_the_feed_that_follows() -> None:
    before_migrating(plan("shop", migrations.RemoveField("note", "text")))

    assert installed_of(Item) == 0


def test_a_table_is_known_by_the_name_that_it_has_before_the_plan() -> None:
    project = ProjectState()
    project.add_model(ModelState("shop", "Old", [("id", models.AutoField(primary_key=True))], {"db_table": "mine"}))
    steps = plan("shop", migrations.RenameModel("Old", "New"), migrations.RemoveField("new", "id"))

    assert tables_in_the_way(steps, project.apps) == {"mine"}
    assert tables_in_the_way(plan("shop", migrations.RemoveField("later", "id")), project.apps) == set()


def test_no_migration_leaves_the_triggers() -> None:
    before_migrating([])

    assert not triggers.compare("default")


def test_a_migration_of_the_ledger_backwards_drops_all_triggers() -> None:
    before_migrating(plan("pollable", backwards=True))

    assert len(triggers.compare("default").missing) == len(triggers.expected("default"))


@contextmanager
def changed_by_hand(statement: str, back: str) -> Iterator[None]:
    execute(statement)
    try:
        yield
    finally:
        execute(back)


def test_a_feed_whose_table_is_not_what_the_model_says_keeps_what_it_has() -> None:
    """A migration that is not applied yet must not cost the triggers that are there."""
    if connection.vendor == "sqlite":
        triggers.drop("default")  # it refuses to rename a column that a trigger names
    with changed_by_hand(
        "ALTER TABLE shop_price RENAME COLUMN amount TO sum", "ALTER TABLE shop_price RENAME COLUMN sum TO amount"
    ):
        before = triggers._installed(connection)
        difference = triggers.install("default")

        assert difference.waiting == ("shop.price",)
        assert triggers.compare("default").waiting == difference.waiting
        assert difference.stale == ()
        assert before <= triggers._installed(connection)
