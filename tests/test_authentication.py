"""Authentication by token: what REST framework's gives, for less."""

from __future__ import annotations

import copy
import datetime
import gc
import re
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections, models, transaction
from django.db.models import Model
from django.db.models.lookups import IExact
from django.test import override_settings
from django.test.utils import CaptureQueriesContext, isolate_apps
from rest_framework.authentication import TokenAuthentication
from rest_framework.authtoken.models import Token, TokenProxy
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.test import APIRequestFactory

from django_pollable.authentication import PollableTokenAuthentication, Tokens, tokens_of
from django_pollable.buckets import client_key
from django_pollable.caching import CachePolicy
from django_pollable.tokens import is_plain
from tests.accounts.models import (
    BadgeToken,
    Colleague,
    Employee,
    EmployeeToken,
    ManagedToken,
    Person,
    PersonToken,
)
from tests.clocks import Clock
from tests.shop.views import Logs

TEXT = (Path(__file__).parent.parent / "docs/how-to/authentication.md").read_text()
(EXAMPLE,) = re.findall(r"```python\n(from .*?)```", TEXT, re.DOTALL)

pytestmark = pytest.mark.django_db
remembering = override_settings(POLLABLE_TOKEN_MAX_AGE_SECONDS=3600.0)
committing = pytest.mark.django_db(transaction=True)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    tokens_of.cache_clear()
    yield
    tokens_of.cache_clear()


@pytest.fixture
def tokens(transactional_db: None, alice: User, clock: Clock) -> Tokens:
    return Tokens(Token, clock)


def authenticate(header: str | None, base: type[TokenAuthentication], model: Any = None, keyword: str = "Token") -> Any:
    authenticator = type("Authenticator", (base,), {"model": model, "keyword": keyword})()
    headers = {} if header is None else {"Authorization": header}
    return authenticator.authenticate(APIRequestFactory().get("/", headers=headers))


def error_of(header: str, base: type[TokenAuthentication]) -> Any:
    with pytest.raises(AuthenticationFailed) as caught:
        authenticate(header, base)
    return caught.value.get_full_details(), caught.value.status_code


def content(instance: Any) -> Any:
    """Return all that an instance is: its fields with their types, and what it knows of itself."""
    state = instance._state
    known = {name: (type(other), other.pk) for name, other in state.fields_cache.items()}
    values = [(name, type(value), _plain(value)) for name, value in vars(instance).items() if name != "_state"]
    return type(instance), values, state.db, state.adding, known, instance.get_deferred_fields()


def _plain(value: Any) -> Any:
    return bytes(value) if isinstance(value, memoryview) else str(value)


def person(kind: type[Person] = Person, **values: Any) -> Any:
    return kind.objects.create(
        name=uuid.uuid4().hex,
        preferences={"theme": ["dark"]},
        balance="12.50",
        born_on=datetime.date(1990, 2, 3),
        wakes_at=datetime.time(6, 30),
        absence=datetime.timedelta(days=2),
        picture=b"picture",
        contract="contract.pdf",
        secret="secret",
        manager=Person.objects.create(name=uuid.uuid4().hex),
        last_login=datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC),
        **values,
    )


def token(model: type[Model]) -> str:
    """Make a token of `model`, and return its key."""
    if model is Token:
        return str(Token.objects.create(user=User.objects.create_user("bob", "bob@example.org", "secret")).key)
    if model is PersonToken:
        return str(PersonToken.objects.create(user=person(), note="laptop").key)
    return str(model.objects.create(user=person(Employee, badge=7), key="key").key)  # type: ignore[attr-defined]


MODELS = (Token, PersonToken, EmployeeToken, BadgeToken, ManagedToken)


@pytest.mark.parametrize("model", MODELS)
def test_user_and_token_are_those_of_rest_framework(model: type[Model]) -> None:
    header = f"Token {token(model)}"
    expected = authenticate(header, TokenAuthentication, model)

    given = authenticate(header, PollableTokenAuthentication, model)

    assert [content(each) for each in given] == [content(each) for each in expected]


@committing
@pytest.mark.parametrize("model", MODELS)
@remembering
def test_so_are_those_that_are_remembered(model: type[Model]) -> None:
    header = f"Token {token(model)}"
    expected = authenticate(header, TokenAuthentication, model)
    authenticate(header, PollableTokenAuthentication, model)

    given = authenticate(header, PollableTokenAuthentication, model)

    assert [content(each) for each in given] == [content(each) for each in expected]


def test_what_the_user_has_is_there_without_a_further_query(alice: User, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        user, auth = authenticate("Token alice-token", PollableTokenAuthentication)

        assert (auth.user, user.auth_token, user.email) == (user, auth, "")


def test_a_poll_varies_and_a_bucket_is_named_as_with_rest_framework(alice: User) -> None:
    class Mine(Logs):
        authentication_classes = [PollableTokenAuthentication]
        cache_policy = CachePolicy.private()
        varies_by_user = True

    class Theirs(Mine):
        authentication_classes = [TokenAuthentication]

    given, expected = (
        view.as_view()(APIRequestFactory().get("/", headers={"Authorization": "Token alice-token"}))
        for view in (Mine, Theirs)
    )

    assert given["Vary"] == expected["Vary"] == "Authorization"
    assert given.status_code == expected.status_code == 200
    requests = [response.renderer_context["request"] for response in (given, expected)]
    assert client_key("token", requests[0]) == client_key("token", requests[1])


def test_the_user_can_be_saved(alice: User) -> None:
    user, _ = authenticate("Token alice-token", PollableTokenAuthentication)
    user.email = "alice@example.org"
    user.save()

    alice.refresh_from_db()
    assert alice.email == "alice@example.org"


@pytest.mark.parametrize("header", ["Token", "Token a b", "Token \xff", "Token unknown", "Token bob-token"])
def test_errors_are_those_of_rest_framework(alice: User, header: str) -> None:
    Token.objects.create(user=User.objects.create_user("bob", is_active=False), key="bob-token")

    assert error_of(header, PollableTokenAuthentication) == error_of(header, TokenAuthentication)


@pytest.mark.parametrize("header", [None, "Basic alice-token", "Bearer alice-token"])
def test_who_shows_no_token_is_nobody(alice: User, header: str | None) -> None:
    assert authenticate(header, PollableTokenAuthentication) is None


def test_a_keyword_can_be_chosen(alice: User) -> None:
    given = authenticate("bearer alice-token", PollableTokenAuthentication, keyword="Bearer")

    assert given[0] == alice


def test_a_key_that_the_model_refuses_is_refused_as_by_rest_framework() -> None:
    errors = []
    for base in (TokenAuthentication, PollableTokenAuthentication):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is, it must be the same
            authenticate("Token no-uuid", base, PersonToken)
        errors.append((caught.type, str(caught.value)))

    assert errors[0] == errors[1]


def test_a_manager_that_hides_tokens_is_asked() -> None:
    key = token(ManagedToken)
    ManagedToken.objects.update(is_valid=False)

    with pytest.raises(AuthenticationFailed):
        authenticate(f"Token {key}", PollableTokenAuthentication, ManagedToken)


@pytest.mark.parametrize("model", [Token, PersonToken, EmployeeToken, BadgeToken])
def test_a_plain_token_is_found_by_its_key_alone(model: type[Model]) -> None:
    assert is_plain(model)


managed_proxy = pytest.mark.skipif("objects" not in vars(TokenProxy), reason="REST framework 3.18.2 gave it a manager")


@pytest.mark.parametrize("model", [ManagedToken, pytest.param(TokenProxy, marks=managed_proxy)])
def test_a_token_with_a_manager_of_its_own_is_not_plain(model: type[Model]) -> None:
    assert not is_plain(model)


class Caseless(models.CharField):
    """A key that is looked up in a way of its own."""


@Caseless.register_lookup
class Alike(IExact):
    lookup_name = "exact"


UNIQUE = models.CharField(max_length=40, unique=True)


@pytest.mark.parametrize(
    "fields",
    [
        {"user": models.ForeignKey(Person, on_delete=models.CASCADE)},
        {"key": UNIQUE},
        {"key": UNIQUE, "user": models.IntegerField()},
        {"key": UNIQUE, "user": models.ForeignKey(Person, on_delete=models.CASCADE, null=True)},
        {"key": Caseless(max_length=40, unique=True), "user": models.ForeignKey(Person, on_delete=models.CASCADE)},
        {"key": models.CharField(max_length=40), "user": models.ForeignKey(Person, on_delete=models.CASCADE)},
    ],
)
@isolate_apps("tests.accounts")
def test_nor_is_one_without_a_unique_key_and_a_user(fields: dict[str, Any]) -> None:
    copies = {name: copy.deepcopy(field) for name, field in fields.items()}

    assert not is_plain(type("Odd", (models.Model,), copies | {"__module__": "tests.accounts.models"}))


@pytest.mark.django_db(databases=["default", "archive"])
@override_settings(DATABASE_ROUTERS=["tests.accounts.routers.ArchivedAccountsRouter"])
def test_a_router_says_which_database_is_read() -> None:
    user = Person(name="archived")
    user.save(using="archive")
    key = PersonToken.objects.using("archive").create(user=user).key

    given = authenticate(f"Token {key}", PollableTokenAuthentication, PersonToken)

    assert [each._state.db for each in given] == ["archive", "archive"]


def test_the_text_of_the_statement_is_made_once(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    authenticate("Token alice-token", PollableTokenAuthentication)
    monkeypatch.delattr(models.QuerySet, "filter")

    assert authenticate("Token alice-token", PollableTokenAuthentication)[0] == alice


@committing
def test_a_thread_that_has_ended_keeps_no_connection(alice: User) -> None:
    seen: list[Any] = []

    def ask() -> None:
        authenticate("Token alice-token", PollableTokenAuthentication)
        seen.append(weakref.ref(connections["default"]))
        connections.close_all()

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    gc.collect()

    assert seen[0]() is None
    assert authenticate("Token alice-token", PollableTokenAuthentication)[0] == alice


def test_a_check_of_ones_own_refuses_what_is_remembered_too(alice: User) -> None:
    given: dict[str, Any] = {}
    exec(EXAMPLE, given)
    Token.objects.update(created=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))

    assert authenticate("Token alice-token", PollableTokenAuthentication)[0] == alice
    with pytest.raises(AuthenticationFailed, match="expired"):
        authenticate("Token alice-token", given["ExpiringTokenAuthentication"])


def test_nothing_is_remembered_unless_wanted(alice: User, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(2):
        authenticate("Token alice-token", PollableTokenAuthentication)
        authenticate("Token alice-token", PollableTokenAuthentication)


@committing
@remembering
def test_a_remembered_token_needs_no_connection(alice: User) -> None:
    authenticate("Token alice-token", PollableTokenAuthentication)
    if connection.vendor != "sqlite":
        connection.close()

    with CaptureQueriesContext(connection) if connection.vendor == "sqlite" else _unconnected():
        assert authenticate("Token alice-token", PollableTokenAuthentication)[0] == alice


class _unconnected:  # noqa: N801 - reads as a context
    def __enter__(self) -> None:
        assert connection.connection is None

    def __exit__(self, *args: object) -> None:
        assert connection.connection is None


def test_a_token_is_remembered_no_longer_than_said(
    tokens: Tokens, alice: User, clock: Clock, django_assert_num_queries: Any
) -> None:
    tokens.find("alice-token", max_age=5)
    User.objects.update(is_active=False)  # no signal tells of it
    clock.now += 4.5

    with django_assert_num_queries(0):
        assert tokens.find("alice-token", max_age=5).user.is_active

    clock.now += 0.5

    assert not tokens.find("alice-token", max_age=5).user.is_active


@pytest.mark.parametrize("key", ["unknown", "alice-token"])
def test_who_was_refused_is_asked_for_again(tokens: Tokens, alice: User, key: str) -> None:
    User.objects.update(is_active=False)
    tokens.find(key, max_age=5)
    User.objects.update(is_active=True)
    Token.objects.get_or_create(user=User.objects.create_user("bob"), defaults={"key": "unknown"})

    assert tokens.find(key, max_age=5).user.is_active


def test_each_request_has_a_user_of_its_own(clock: Clock, transactional_db: None) -> None:
    tokens, key = Tokens(PersonToken, clock), token(PersonToken)
    for _ in range(3):
        user = tokens.find(key, max_age=5).user

        assert (user.preferences, user.name != "changed") == ({"theme": ["dark"]}, True)

        user.preferences["theme"].append("changed")
        user.name = "changed"


def test_no_key_is_kept(tokens: Tokens, alice: User) -> None:
    tokens.find("alice-token", max_age=5)

    assert len(tokens._tokens) == len(tokens._users) == 1
    assert "alice-token" not in repr([vars(tokens._tokens), vars(tokens._users)])


def test_a_key_that_a_collation_takes_for_another_is_found_anew(
    tokens: Tokens, alice: User, django_assert_num_queries: Any
) -> None:
    found = tokens.find("ALICE-token", max_age=5)  # MariaDB and MySQL find it

    with django_assert_num_queries(1):
        again = tokens.find("ALICE-token", max_age=5)

    assert (found and found.key) == (again and again.key) == ("alice-token" if connection.vendor == "mysql" else None)


def test_ways_to_write_a_key_are_remembered_as_one(
    clock: Clock, transactional_db: None, django_assert_num_queries: Any
) -> None:
    tokens, key = Tokens(PersonToken, clock), token(PersonToken)
    tokens.find(key, max_age=5)

    with django_assert_num_queries(0):
        assert str(tokens.find(key.upper(), max_age=5).key) == key


def delete_by_proxy(instance: Token) -> None:
    TokenProxy.objects.get(key=instance.key).delete()


def save_by_text(instance: Token) -> None:
    User(pk=str(instance.user_id), username="alice").save()


CHANGES: dict[str, Callable[[Token], Any]] = {
    "token saved": lambda token: token.save(),
    "token deleted": lambda token: token.delete(),
    "token deleted in the admin": delete_by_proxy,
    "token saved in the admin": lambda token: TokenProxy.objects.get(key=token.key).save(),
    "tokens deleted": lambda token: Token.objects.filter(key=token.key).delete(),
    "user saved": lambda token: token.user.save(),
    "user saved with a text for its key": save_by_text,
    "user deleted": lambda token: token.user.delete(),
    "users deleted": lambda token: User.objects.filter(pk=token.user.pk).delete(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("in_transaction", [False, True])
def test_a_change_in_this_process_is_noticed_at_once(
    tokens: Tokens, change: Any, in_transaction: bool, django_assert_num_queries: Any
) -> None:
    auth = tokens.find("alice-token", max_age=5)
    if in_transaction:
        with transaction.atomic():
            change(auth)
    else:
        change(auth)

    with django_assert_num_queries(1):
        tokens.find("alice-token", max_age=5)


def test_a_change_of_others_is_none_of_ones_own(tokens: Tokens, django_assert_num_queries: Any) -> None:
    tokens.find("alice-token", max_age=5)
    bob = User.objects.create_user("bob")
    Token.objects.create(user=bob, key="bob-token")
    bob.save()
    Token.objects.get(key="bob-token").delete()

    with django_assert_num_queries(0):
        tokens.find("alice-token", max_age=5)


RELATIVES: dict[str, Callable[[Any], Any]] = {
    "parent": lambda user: Person.objects.get(pk=user.pk),
    "child": lambda user: user,
    "proxy": lambda user: Colleague.objects.get(pk=user.pk),
}


@pytest.mark.parametrize("relative", RELATIVES.values(), ids=RELATIVES)
@pytest.mark.parametrize("model", [EmployeeToken, BadgeToken])
def test_a_user_is_forgotten_whichever_of_its_models_is_saved(
    clock: Clock, transactional_db: None, model: type[Model], relative: Any
) -> None:
    tokens, key = Tokens(model, clock), token(model)
    user = relative(tokens.find(key, max_age=5).user)
    user.secret = "changed"
    user.save()

    assert tokens.find(key, max_age=5).user.secret == "changed"


def test_a_user_is_forgotten_whatever_its_name_is_at_the_time(clock: Clock, transactional_db: None) -> None:
    tokens, key = Tokens(BadgeToken, clock), token(BadgeToken)
    user = tokens.find(key, max_age=5).user
    user.badge, user.secret = 99, "changed"
    user.save(update_fields=["secret"])

    assert tokens.find(key, max_age=5).user.secret == "changed"


@pytest.mark.django_db(databases=["default", "archive"], transaction=True)
@override_settings(DATABASE_ROUTERS=["tests.accounts.routers.ArchivedAccountsRouter"])
def test_a_user_is_forgotten_where_copies_are_read(clock: Clock, django_assert_num_queries: Any) -> None:
    user, tokens = Person(name="archived"), Tokens(PersonToken, clock)
    user.save(using="archive")
    key = str(PersonToken.objects.using("archive").create(user=user).key)
    tokens.find(key, max_age=5)
    user.save(using="default")

    with django_assert_num_queries(1, using="archive"):
        tokens.find(key, max_age=5)


def test_a_key_that_was_changed_is_forgotten(clock: Clock, transactional_db: None) -> None:
    tokens, key = Tokens(EmployeeToken, clock), token(EmployeeToken)
    auth = tokens.find(key, max_age=5)
    auth.key = "renewed"
    auth.save()

    assert tokens.find(key, max_age=5) is None


def test_what_a_transaction_sees_is_not_remembered(tokens: Tokens, django_assert_num_queries: Any) -> None:
    with transaction.atomic():
        User.objects.update(email="draft@example.org")
        tokens.find("alice-token", max_age=5)
        transaction.set_rollback(True)

    assert tokens.find("alice-token", max_age=5).user.email == ""


def test_what_is_remembered_is_not_used_in_a_transaction(tokens: Tokens) -> None:
    tokens.find("alice-token", max_age=5)
    with transaction.atomic():
        User.objects.update(email="draft@example.org")

        assert tokens.find("alice-token", max_age=5).user.email == "draft@example.org"


def test_a_change_that_was_rolled_back_is_none(tokens: Tokens, django_assert_num_queries: Any) -> None:
    user = tokens.find("alice-token", max_age=5).user
    with transaction.atomic():
        user.save()
        transaction.set_rollback(True)

    with django_assert_num_queries(0):
        tokens.find("alice-token", max_age=5)


def test_who_commits_by_hand_has_nothing_remembered(tokens: Tokens) -> None:
    connection.set_autocommit(False)
    try:
        User.objects.update(email="draft@example.org")
        tokens.find("alice-token", max_age=5)
    finally:
        connection.rollback()
        connection.set_autocommit(True)

    assert tokens.find("alice-token", max_age=5).user.email == ""


@pytest.mark.parametrize("change", [lambda auth: auth.user.save(), lambda auth: auth.save()], ids=["user", "token"])
def test_what_is_saved_while_it_is_read_is_not_remembered(
    tokens: Tokens, alice: User, clock: Clock, change: Any, django_assert_num_queries: Any
) -> None:
    changes = [lambda: change(Token.objects.get(key="alice-token"))]

    def change_after(execute: Any, *args: Any) -> Any:
        answer = execute(*args)
        while changes:
            clock.now += 1
            changes.pop()()
        return answer

    tokens.find("unknown", max_age=5)
    with connection.execute_wrapper(change_after):
        tokens.find("alice-token", max_age=5)

    with django_assert_num_queries(1):
        tokens.find("alice-token", max_age=5)


@pytest.mark.parametrize("max_age", [0.0, 3600.0])
def test_a_token_that_no_column_holds_is_no_token(alice: User, max_age: float) -> None:
    """PostgreSQL has no text with NUL, and some servers let it pass."""
    with override_settings(POLLABLE_TOKEN_MAX_AGE_SECONDS=max_age), pytest.raises(AuthenticationFailed):
        authenticate("Token alice-\0token", PollableTokenAuthentication)
