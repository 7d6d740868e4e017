"""Every way to write is seen, once, in the scope where it belongs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import connection, connections, models, transaction
from django.db.models import F

from django_pollable.ledger.changes import ChangeLog
from django_pollable.ledger.options import feed_of
from django_pollable.ledger.sequencer import poll_state, settle
from django_pollable.ledger.tables import Change
from tests.shop import cascades
from tests.shop.models import (
    ArchivedItem,
    Author,
    Building,
    Capital,
    Country,
    Document,
    Embassy,
    Item,
    Label,
    Note,
    Palace,
    Part,
    Price,
    SmallCountry,
    Tenant,
)

pytestmark = pytest.mark.django_db

Keys = Callable[..., list[str]]


@pytest.fixture
def tenant() -> Tenant:
    return Tenant.objects.create(name="a")


@pytest.fixture
def item(tenant: Tenant) -> Item:
    return Item.objects.create(tenant=tenant, name="a", code="a")


def changed(write: Callable[[], Any], model: type[models.Model] = Item, using: str = "default") -> list[str]:
    """Return the keys that `write` changes in the feed of `model`, in order."""
    feed = feed_of(model)
    log = ChangeLog(feed, None, using)
    while settle(feed, using=using):
        pass
    before = poll_state(feed, None, using=using).head

    write()

    while settle(feed, using=using):
        pass
    window, _ = log.window(before, head=poll_state(feed, None, using=using).head, limit=1000)
    return [key for key, _ in window]


def execute(sql: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def test_save(item: Item) -> None:
    item.name = "b"

    assert changed(item.save) == [str(item.pk)]


def test_save_with_update_fields(item: Item) -> None:
    item.name = "b"

    assert changed(lambda: item.save(update_fields=["name"])) == [str(item.pk)]


def test_get_or_create_and_update_or_create(tenant: Tenant) -> None:
    assert len(changed(lambda: Item.objects.get_or_create(tenant=tenant, code="b"))) == 1
    assert len(changed(lambda: Item.objects.get_or_create(tenant=tenant, code="b"))) == 0
    assert len(changed(lambda: Item.objects.update_or_create(code="b", defaults={"name": "new"}))) == 1


def test_bulk_create(tenant: Tenant) -> None:
    assert len(changed(lambda: Item.objects.bulk_create(Item(tenant=tenant) for _ in range(5)))) == 5


def test_bulk_create_that_updates_conflicts(item: Item) -> None:
    rows = [Item(id=item.pk, tenant=item.tenant, name="b"), Item(tenant=item.tenant)]
    target = {} if connection.vendor == "mysql" else {"unique_fields": ["id"]}

    def write() -> None:
        Item.objects.bulk_create(rows[:1], update_conflicts=True, update_fields=["name"], **target)

    assert changed(write) == [str(item.pk)]


def test_bulk_create_that_ignores_conflicts(item: Item) -> None:
    rows = [Item(tenant=item.tenant, code="a"), Item(tenant=item.tenant, code="b")]

    assert len(changed(lambda: Item.objects.bulk_create(rows, ignore_conflicts=True))) == 1


def test_bulk_update(item: Item) -> None:
    item.name = "b"

    assert changed(lambda: Item.objects.bulk_update([item], ["name"])) == [str(item.pk)]


def test_queryset_update_and_f(item: Item) -> None:
    assert changed(lambda: Item.objects.update(count=F("count") + 1)) == [str(item.pk)]


@pytest.mark.parametrize("delete", [Item.delete, lambda item: Item.objects.filter(pk=item.pk).delete()])
def test_deletion(item: Item, delete: Callable[[Item], Any]) -> None:
    key = str(item.pk)

    assert changed(lambda: delete(item)) == [key]


def test_deletion_without_collecting(item: Item) -> None:
    assert changed(lambda: Item.objects.filter(pk=item.pk)._raw_delete("default")) == [str(item.pk)]


def test_cascade(item: Item) -> None:
    key = str(item.pk)

    assert changed(item.tenant.delete) == [key]


def test_many_to_many(item: Item) -> None:
    labels = [Label.objects.create(name=name) for name in "ab"]
    key = [str(item.pk)]

    assert changed(lambda: item.labels.add(*labels)) == key
    assert changed(lambda: item.labels.set(labels[:1])) == key
    assert changed(lambda: item.labels.remove(labels[0])) == key
    item.labels.add(labels[1])
    assert changed(item.labels.clear) == key


def test_followed_rows_on_both_hops(item: Item) -> None:
    part = Part.objects.create(item=item, name="a")
    key = [str(item.pk)]

    assert changed(lambda: Note.objects.create(part=part, text="a")) == key
    assert changed(lambda: Note.objects.update(text="b")) == key
    assert changed(lambda: Note.objects.all().delete()) == key
    assert changed(lambda: Part.objects.update(name="b")) == key
    assert changed(part.delete) == key


def test_a_part_that_moves_changes_both_owners(item: Item) -> None:
    other = Item.objects.create(tenant=item.tenant)
    Part.objects.create(item=item, name="a")

    assert sorted(changed(lambda: Part.objects.update(item=other))) == sorted([str(item.pk), str(other.pk)])


def test_rows_that_many_show_change_all_of_them(item: Item) -> None:
    author, label = Author.objects.create(name="a"), Label.objects.create(name="a")
    Item.objects.update(author=author)
    item.labels.add(label)

    assert changed(lambda: Author.objects.update(name="b")) == [str(item.pk)]
    assert changed(lambda: Label.objects.update(name="b")) == [str(item.pk)]
    assert changed(author.delete) == [str(item.pk)]
    assert changed(lambda: Label.objects.create(name="c")) == []


def test_loaddata(tenant: Tenant, tmp_path: Path) -> None:
    fixture = tmp_path / "items.json"
    fixture.write_text(json.dumps([{"model": "shop.item", "pk": 77, "fields": {"tenant": tenant.pk, "name": "a"}}]))

    assert changed(lambda: call_command("loaddata", str(fixture), verbosity=0)) == ["77"]


def test_raw_sql(item: Item) -> None:
    key = [str(item.pk)]
    columns = "INSERT INTO shop_author (id, name) VALUES (5, 'a')"
    execute(columns)

    assert changed(lambda: execute("UPDATE shop_item SET author_id = 5, name = %s WHERE id = %s", "b", item.pk)) == key
    assert changed(lambda: execute("UPDATE shop_author SET name = 'b' WHERE id = 5")) == key
    assert changed(lambda: execute("DELETE FROM shop_item WHERE id = %s", item.pk)) == key


def test_replace_tells_the_row_that_it_removes() -> None:
    if connection.vendor == "postgresql":
        pytest.skip("PostgreSQL has no REPLACE")
    execute("INSERT INTO shop_country (code, name) VALUES ('a', 'a')")

    assert changed(lambda: execute("REPLACE INTO shop_country (code, name) VALUES ('a', 'b')"), Country)[-1] == "a"


def test_replace_tells_a_row_that_another_unique_key_removes(item: Item) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite hides that from triggers by default")
    other = Item.objects.create(tenant=item.tenant, code="b")
    columns = "tenant_id, name, code, status, count, data, author_id"

    def write() -> None:
        execute(f"REPLACE INTO shop_item (id, {columns}) SELECT {other.pk}, {columns} FROM shop_item WHERE code = 'a'")

    assert set(changed(write)) == {str(item.pk), str(other.pk)}


def test_upsert_in_sql(item: Item) -> None:
    if connection.vendor == "mysql":
        conflict = "ON DUPLICATE KEY UPDATE name = 'c'"
    else:
        conflict = "ON CONFLICT (code) DO UPDATE SET name = 'c'"
    execute("INSERT INTO shop_country (code, name) VALUES ('a', 'a')")

    assert changed(lambda: execute(f"INSERT INTO shop_country (code, name) VALUES ('a', 'b') {conflict}"), Country) == [
        "a"
    ]


def test_copy() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("COPY is PostgreSQL's")

    def write() -> None:
        with connection.cursor() as cursor, cursor.copy("COPY shop_log (id, text) FROM STDIN") as copy:
            copy.write("901\ta\n902\tb\n")

    from tests.shop.models import Log

    assert changed(write, Log) == ["901", "902"]


def test_load_data() -> None:
    if not getattr(connection, "mysql_is_mariadb", False):
        pytest.skip("only MariaDB loads any file of its machine unless told otherwise")
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("a\ta\nb\tb\n")
        file.flush()
        Path(file.name).chmod(0o644)

        assert changed(lambda: execute(f"LOAD DATA INFILE '{file.name}' INTO TABLE shop_country"), Country) == [
            "a",
            "b",
        ]


def test_writes_in_the_role_of_a_replica_go_unseen(item: Item) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("session_replication_role is PostgreSQL's")

    def write() -> None:
        execute("SET LOCAL session_replication_role = replica")
        execute("UPDATE shop_item SET name = 'b'")
        execute("SET LOCAL session_replication_role = origin")

    assert changed(write) == []


def test_truncate_begins_a_new_epoch() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("elsewhere TRUNCATE fires no trigger, or is not there")
    feed = feed_of(Country)
    before = poll_state(feed, None, using="default").epoch

    execute("TRUNCATE shop_country CASCADE")

    assert poll_state(feed, None, using="default").epoch != before


def test_a_changed_primary_key_is_a_removal_and_a_change(item: Item) -> None:
    keys = {str(item.pk), str(item.pk + 1000)}

    assert set(changed(lambda: Item.objects.update(id=F("id") + 1000))) == keys


def test_a_move_between_scopes_is_told_in_both(item: Item) -> None:
    other = Tenant.objects.create(name="b")
    feed = feed_of(Item)
    head = poll_state(feed, None, using="default").head

    Item.objects.update(tenant=other)

    end = poll_state(feed, None, using="default").head
    for tenant in (item.tenant_id, other.pk):
        window, _ = ChangeLog(feed, (str(tenant),), "default").window(head, head=end, limit=9)
        assert [key for key, _ in window] == [str(item.pk)]


def test_an_update_that_changes_nothing_is_no_change(item: Item) -> None:
    Part.objects.create(item=item, name="a")

    assert changed(item.save) == []
    assert changed(lambda: Item.objects.update(name="a")) == []
    assert changed(lambda: Part.objects.update(name="a")) == []


@pytest.mark.parametrize("values", [{"name": "A"}, {"code": None}, {"name": "a "}, {"data": {"a": 1.0}}])
def test_a_change_that_compares_as_equal_is_a_change(item: Item, values: dict[str, Any]) -> None:
    Item.objects.update(data={"a": 1})

    assert changed(lambda: Item.objects.update(**values)) == [str(item.pk)]


def test_what_is_rolled_back_is_no_change(item: Item) -> None:
    def write() -> None:
        with transaction.atomic():
            with transaction.atomic():
                Item.objects.update(name="b")
                transaction.set_rollback(True)
            Item.objects.update(count=0)

    assert changed(write) == []


def test_a_uuid_and_a_scope_of_two_fields(django_user_model: Any) -> None:
    document = Document(owner=User.objects.create_user("a"), folder="~,'\\ü%s", title="a")

    assert changed(document.save, Document) == [
        str(document.pk) if connection.features.has_native_uuid_field else document.pk.hex
    ]
    feed = feed_of(Document)
    name = feed.scope_of({"owner": document.owner_id, "folder": document.folder}, connection)
    window, _ = ChangeLog(feed, (name,), "default").window(0, head=10**9, limit=9)
    assert feed.key.decode(window[0][0]) == document.pk


def test_a_composite_primary_key() -> None:
    price = Price(product=1, currency="a,b", amount=1)

    (key,) = changed(price.save, Price)

    assert feed_of(Price).key.decode(key) == (1, "a,b")


def test_a_child_table_through_child_and_parent() -> None:
    capital = Capital(code="a", name="a", mayor="a")

    assert changed(capital.save, Capital) == ["a"]
    assert changed(lambda: Country.objects.update(name="b"), Capital) == ["a"]
    assert changed(lambda: Capital.objects.update(name="c"), Country) == ["a"]
    assert changed(capital.delete, Capital) == ["a"]


def test_a_second_parent() -> None:
    Tenant.objects.create(name="so that the parents' keys differ")
    palace = Palace.objects.create(name="a", height=1)
    assert palace.pk != palace.number

    assert changed(lambda: Building.objects.update(height=2), Palace) == [str(palace.pk)]
    assert changed(lambda: Tenant.objects.filter(pk=palace.pk).update(name="b"), Palace) == [str(palace.pk)]


def test_followed_rows_of_a_child_table_and_of_a_proxy() -> None:
    capital = Capital.objects.create(code="a", name="a", mayor="a")
    sender = SmallCountry.objects.create(code="b", name="b")
    key = [str(Embassy.objects.create(capital=capital, sender=sender).pk)]

    assert changed(lambda: Capital.objects.update(mayor="b"), Embassy) == key
    assert changed(lambda: Country.objects.filter(code="a").update(name="c"), Embassy) == key
    assert changed(lambda: SmallCountry.objects.filter(code="b").update(name="c"), Embassy) == key


def test_a_followed_row_that_goes_and_comes_again(item: Item) -> None:
    """Foreign keys are checked late, or not at all, so that the row that names it may stay as it is."""
    author = Author.objects.create(name="a")
    item.author = author
    item.save()

    def write() -> None:
        with transaction.atomic(), connection.constraint_checks_disabled():
            execute("DELETE FROM shop_author WHERE id = %s", author.pk)
            execute("INSERT INTO shop_author (id, name) VALUES (%s, 'b')", author.pk)

    assert changed(write) == [str(item.pk)]


def test_a_proxy_has_the_feed_of_its_model() -> None:
    assert changed(lambda: SmallCountry.objects.create(code="x", name="x"), Country) == ["x"]


def test_keys_that_differ_in_case_or_spaces_are_different() -> None:
    assert changed(lambda: Country.objects.create(code="ab", name="x"), Country) == ["ab"]
    assert set(changed(lambda: Country.objects.update(code="AB"), Country)) == {"ab", "AB"}


def test_a_registered_model() -> None:
    group = Group(name="a")

    assert changed(group.save, Group) == [str(group.pk)]


@pytest.mark.django_db(databases=["default", "archive"])
def test_another_database() -> None:
    item = ArchivedItem(name="a")

    assert changed(item.save, ArchivedItem, "archive") == [str(item.pk)]


@pytest.fixture
def other_connection() -> Iterator[Any]:
    other = connections.create_connection("default")
    yield other
    other.close()


@pytest.mark.django_db(transaction=True)
def test_another_connection_that_commits_late(other_connection: Any) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one writer at a time: nobody commits late")
    tenant = Tenant.objects.create(name="a")
    feed = feed_of(Item)
    with other_connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("INSERT INTO shop_author (name) VALUES ('late')")
        cursor.execute(
            "INSERT INTO shop_item (tenant_id, name, status, count, data) VALUES (%s, 'late', 'new', 0, '{}')",
            [tenant.pk],
        )
        early = Item.objects.create(tenant=tenant, name="early")
        settle(feed, using="default")
        seen = poll_state(feed, None, using="default").head
        cursor.execute("COMMIT")
    settle(feed, using="default")

    late = Item.objects.get(name="late")
    window, _ = ChangeLog(feed, None, "default").window(seen, head=10**9, limit=9)

    assert late.pk < early.pk
    assert [key for key, _ in window] == [str(late.pk)]


@pytest.mark.skipif(not cascades.ARE_FOLLOWED, reason="Django before 6.1, or a database that fires no triggers")
def test_db_cascade(tenant: Tenant) -> None:
    from tests.shop.models import Ticket

    ticket = Ticket.objects.create(tenant=Tenant.objects.create(name="other"))
    while settle(feed_of(Ticket), using="default"):
        pass

    Tenant.objects.filter(pk=ticket.tenant_id)._raw_delete("default")
    poll_state(feed_of(Ticket), None, using="default")

    assert Change.objects.get(feed_id=feed_of(Ticket).id, key=str(ticket.pk)).removed
