"""Who a client is."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ImproperlyConfigured
from django.test import RequestFactory, override_settings

from django_pollable.buckets import client_address, client_key

requests = RequestFactory()


def ask(user: Any = None, **meta: str) -> Any:
    request = requests.get("/", **meta)
    request.user = user or AnonymousUser()
    return request


def test_users_are_counted_wherever_they_are() -> None:
    key = client_key("user", ask(User(pk=7), REMOTE_ADDR="192.0.2.1"))

    assert key == client_key("user", ask(User(pk=7), REMOTE_ADDR="192.0.2.2"))
    assert key != client_key("user", ask(User(pk=8), REMOTE_ADDR="192.0.2.1"))
    assert client_key("user", ask(REMOTE_ADDR="192.0.2.1")) == "user:ip:192.0.2.1"


def test_only_tokens_that_were_accepted_are_counted() -> None:
    accepted, made_up = ask(User(pk=7)), ask(HTTP_AUTHORIZATION="Token made-up")
    accepted.auth = "secret"

    assert client_key("token", accepted).startswith("token:")
    assert "secret" not in client_key("token", accepted)
    assert client_key("token", made_up) == "token:ip:127.0.0.1"


@pytest.mark.parametrize("auth", [{"sub": "1"}, b"bytes", "text", User(pk=1, username="a")])
def test_what_an_authenticator_gives_is_a_token_if_it_has_a_text(auth: Any) -> None:
    request, again = ask(User(pk=7)), ask(User(pk=7))
    request.auth = again.auth = auth

    assert client_key("token", request) == client_key("token", again) != "token:user:7"


def test_a_token_without_a_text_is_not_a_new_client_each_time() -> None:
    request = ask(User(pk=7))
    request.auth = object()

    assert client_key("token", request) == "token:user:7"


def test_a_function_can_name_the_bucket() -> None:
    assert client_key(lambda request: request.META["REMOTE_ADDR"][:3], ask(REMOTE_ADDR="192.0.2.1")).endswith(":192")


def test_functions_have_buckets_of_their_own() -> None:
    def tenant(request: Any) -> str:
        return "7"

    def shop(request: Any) -> str:
        return "7"

    assert client_key(tenant, ask()) != client_key(shop, ask())


@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded", "address"),
    [
        (0, "192.0.2.1", "198.51.100.1", "192.0.2.1"),
        (1, "10.0.0.1", "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        (2, "10.0.0.1", "203.0.113.9, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        (2, "10.0.0.1", "198.51.100.1", "198.51.100.1"),
        (1, "10.0.0.1", "", "10.0.0.1"),
        (1, "", "198.51.100.1", "198.51.100.1"),
        (1, "10.0.0.1", "unknown", "unknown"),
        (0, "2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::/64"),
        (0, "::ffff:192.0.2.1", "", "192.0.2.1"),
        (1, "10.0.0.1", "[2001:db8::1]", "2001:db8::/64"),
        (1, "10.0.0.1", "198.51.100.1:49152", "198.51.100.1"),
        (1, "10.0.0.1", "[2001:db8::1]:49152", "2001:db8::/64"),
        (1, "10.0.0.1", "198.51.100.1,", "10.0.0.1"),
        (0, "fe80::1%eth0", "", "fe80::/64"),
    ],
)
def test_an_address_is_what_a_trusted_proxy_says(proxies: int, peer: str, forwarded: str, address: str) -> None:
    with override_settings(POLLABLE_NUM_PROXIES=proxies):
        assert client_address(ask(REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=forwarded)) == address


def test_a_request_without_an_address_is_a_mistake_of_the_project() -> None:
    with pytest.raises(ImproperlyConfigured, match="POLLABLE_NUM_PROXIES"):
        client_address(ask(REMOTE_ADDR=""))
