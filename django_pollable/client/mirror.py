"""`Mirror`: a mapping that stays equal to a feed."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from django_pollable.client.answers import Page


class Mirror:
    """
    Keeps `rows` equal to a feed: a handler for a poller.

    `rows` maps the text of each item's member `key` to the item. The poller's checkpoint must live as
    long as `rows` do: with a dict, in memory.
    """

    def __init__(self, rows: MutableMapping[str, Any] | None = None, *, key: str = "id") -> None:
        self.rows: MutableMapping[str, Any] = {} if rows is None else rows
        self._key = key
        self._marks: set[str] | None = None

    def __call__(self, page: Page) -> None:
        """
        Take in a page; once more changes nothing.

        Raises:
            KeyError: an item has no member `key`.
        """
        if page.is_reset:
            self._marks = set()
        items = {str(item[self._key]): item for item in page.items}
        self.rows.update(items)
        for key in page.removed:
            self.rows.pop(key, None)
        if self._marks is None:
            return
        self._marks.update(items)
        if page.ends_reset:
            for key in [key for key in self.rows if key not in self._marks]:
                del self.rows[key]
            self._marks = None
