"""Where the benchmarks ask."""

from __future__ import annotations

from typing import Any

from django.urls import include, path

from tests.benchmarks import feeds, peers


def lists(**options: Any) -> list[Any]:
    """Return the views of the table's rows, which take `options`."""
    numbered = peers.NumberedEntries.as_view(**options)
    found = [
        path("public/<int:project>/", feeds.PublicEntries.as_view(**options)),
        path("private/<int:project>/", feeds.PrivateEntries.as_view(**options)),
        path("quick/<int:project>/", feeds.QuickTokenEntries.as_view(**options)),
        path("numbered/", numbered),
        path("cursor/", peers.CursorEntries.as_view(**options)),
        path("keyset/", peers.KeysetEntries.as_view(**options)),
        path("dated/", peers.by_date(numbered)),
        path("counted/", peers.by_count(numbered)),
        path("hashed/", peers.by_hash(numbered)),
    ]
    if peers.HAS_EXTENSIONS:
        found += [
            path("extensions/sql/", peers.TaggedBySql.as_view(**options)),
            path("extensions/rows/", peers.TaggedByRows.as_view(**options)),
        ]
    return found


urlpatterns = [
    path("bare/", peers.bare),
    path("bare/unchanged/", peers.bare_unchanged),
    path("bare/get/", peers.bare_get),
    path("empty/", peers.Empty.as_view()),
    path("empty/token/", peers.EmptyWithToken.as_view()),
    path("empty/quick/", peers.EmptyWithQuickToken.as_view()),
    path("commented/", include(lists(serializer_class=feeds.CommentedSerializer))),
    *lists(),
]
