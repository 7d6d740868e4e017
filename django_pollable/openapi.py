"""What polls ask and answer, in the words of OpenAPI 3: plain values, whatever makes the schema of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
SECONDS: Schema = {"type": "number", "minimum": 0}
CURSOR: Schema = {"type": "string", "format": "cursor", "minLength": 1}

REQUEST_HEADERS = {
    "If-None-Match": "Tags of answers that the client has: 304 where one of them is this one.",
    "If-Modified-Since": "The `Last-Modified` of the answer that the client has. Counts only without `If-None-Match`.",
    "If-Match": "The tag of the state that the request is about: 412 where it is another by now.",
    "Range": "The bytes that are asked for: `bytes=0-499`, `bytes=500-`, `bytes=-500`, or several of them.",
    "If-Range": "A tag or a date: `Range` counts only where it is the file's.",
}
RESPONSE_HEADERS: dict[str, tuple[str, Schema]] = {
    "ETag": ("Names this answer, for `If-None-Match` and `If-Match`.", TEXT),
    "Last-Modified": ("When something changed last, where that can be told by the second.", TEXT),
    "Cache-Control": ("Who may keep the answer, and how long.", TEXT),
    "Vary": ("The request headers that the answer depends on.", TEXT),
    "X-Poll-Interval": ("How long to wait before the next poll (seconds).", SECONDS),
    "Link": ('The next page, `rel="next"`: to be followed at once.', TEXT),
    "Accept-Ranges": ("The unit of ranges: `bytes`, or `none`.", {"type": "string", "enum": ["bytes", "none"]}),
    "Content-Range": ("Which bytes these are, and how many there are.", TEXT),
    "Content-Disposition": ("The name to save it under.", TEXT),
    "Retry-After": ("When to come back (seconds).", {"type": "integer", "minimum": 1}),
    "RateLimit-Policy": ("Quotas: `q` requests in a window of `w` seconds.", TEXT),
    "RateLimit": ("What is left of them: `r` requests for `t` seconds.", TEXT),
    "X-RateLimit-Limit": ("Requests in a window of the tightest quota.", {"type": "integer", "minimum": 1}),
    "X-RateLimit-Remaining": ("Requests that are left of it.", {"type": "integer", "minimum": 0}),
    "X-RateLimit-Reset": ("When its window ends (Unix seconds).", {"type": "integer", "minimum": 0}),
}
STATUSES = {
    304: "The client has this answer.",
    400: "The request makes no sense.",
    401: "Nobody has signed in.",
    403: "Not for this client.",
    404: "There is no such thing.",
    410: "The cursor cannot be continued: a first sync is due.",
    412: "The state is another one than the request names.",
    416: "There is no byte in the range.",
    428: "The request must name the state that it is about, in `If-Match`.",
    429: "Too many requests.",
    503: "Not now: the server is overloaded, or without its database.",
}
NOT_ALWAYS = {"Last-Modified", "Vary", "Link", "Content-Range", "Content-Disposition"}
"""Header fields that an answer may do without."""

QUOTAS = {
    "RateLimit": ("RateLimit-Policy", "RateLimit"),
    "X-RateLimit": ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"),
}
"""Those that tell quotas, by the setting that chooses them: so may they."""

_POLL = ("ETag", "Cache-Control", "Vary", "X-Poll-Interval", "Accept-Ranges")
_LIST = (*_POLL, "Last-Modified")
_FILE = ("ETag", "Last-Modified", "Cache-Control", "Vary", "Accept-Ranges")


@dataclass(frozen=True, slots=True)
class Operation:
    """The header fields that requests of a kind have, and those of the answers that only this kind gets, by status."""

    sent: tuple[str, ...]
    said: Mapping[int, tuple[str, ...]]


FEED = Operation(("If-None-Match", "If-Modified-Since"), {200: (*_LIST, "Link"), 304: _LIST, 400: (), 410: ()})
LIST = Operation(("If-None-Match", "If-Modified-Since"), {200: _LIST, 304: _LIST, 400: ()})
RETRIEVE = Operation(("If-None-Match",), {200: _POLL, 304: _POLL})
UPDATE = Operation(("If-Match",), {200: ("ETag",), 412: ()})
DESTROY = Operation(("If-Match",), {412: ()})
FILE = Operation(
    ("Range", "If-Range", "If-None-Match", "If-Modified-Since", "If-Match"),
    {
        200: (*_FILE, "Content-Disposition"),
        206: (*_FILE, "Content-Disposition", "Content-Range"),
        304: _FILE,
        404: (),
        412: (),
        416: ("Content-Range",),
    },
)
ANY = Operation((), {})

PROBLEM: Schema = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "description": "Which problem it is."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {"description": "What is wrong with each field."},
        "violated-policies": {"type": "array", "items": TEXT, "description": "The quotas that are used up."},
    },
    "required": ["type", "title", "status", "detail"],
}
EXPIRED: Schema = {
    "type": "object",
    "properties": {
        "reason": {
            "type": "string",
            "enum": ["history-pruned", "epoch-changed", "filter-changed", "scope-changed", "schema-changed"],
        },
        "restart": {"type": "string", "format": "uri-reference", "description": "The URL of a first sync."},
    },
    "required": ["reason", "restart"],
}


def page(items: Schema) -> Schema:
    """Return the body of a page of a feed, whose items are the array `items`."""
    return {
        "type": "object",
        "properties": {
            "items": items | {"description": "Rows that changed, as they are now."},
            "removed": {"type": "array", "items": TEXT, "description": "The keys of rows that are gone."},
            "next_since": CURSOR | {"description": "The cursor to go on from."},
            "has_more": {"type": "boolean", "description": "Whether the next page is to be asked for at once."},
            "reset": {"type": "boolean", "description": "Whether a first sync begins: what is kept is to be replaced."},
        },
        "required": ["items", "removed", "next_since", "has_more", "reset"],
    }


def query(name: str, schema: Schema, description: str) -> Schema:
    """Return an optional parameter of the query."""
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def since(name: str) -> Schema:
    """Return the parameter that takes a cursor."""
    return query(
        name,
        CURSOR,
        "The cursor of the last answer, `next_since`. Without it a first sync begins. A Unix time, an ISO 8601 "
        "instant or `now` begin from there.",
    )


def after_id(name: str) -> Schema:
    """Return the parameter that takes the key of a row."""
    return query(name, TEXT, "The key of the last row that the client has. Counts only without a cursor.")


def limit(name: str, *, default: int, largest: int) -> Schema:
    """Return the parameter that bounds a page (rows)."""
    schema: Schema = {"type": "integer", "minimum": 1, "default": default}
    return query(name, schema, f"Items and removals of a page at most. More than {largest} are {largest}.")
