"""A cache that is down."""

from typing import Any

from django.core.cache.backends.base import BaseCache


class DownCache(BaseCache):
    """Fails as a driver does whose server is gone."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        super().__init__(params)

    def add(self, *args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("The cache is down.")

    get = set = delete = incr = add


class FrozenCache(DownCache):
    """Fails as a driver does that keeps quiet about it."""

    def add(self, *args: Any, **kwargs: Any) -> bool:
        return False

    def incr(self, *args: Any, **kwargs: Any) -> int:
        raise ValueError

    get = set = delete = add
