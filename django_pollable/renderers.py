"""JSON by orjson (extra `orjson`), for those who render more pages than they share."""

from __future__ import annotations

from typing import Any

import orjson
from rest_framework.renderers import JSONRenderer

_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS


class OrjsonRenderer(JSONRenderer):
    """
    REST framework's JSON, by orjson where that says the same.

    What orjson does not know goes to REST framework's own encoder; so does what is to be indented or
    escaped. NaN and the infinities, which JSON lacks, become null instead of an error.
    """

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        indent = self.get_indent(accepted_media_type or "", renderer_context or {})
        if data is None or indent is not None or self.ensure_ascii or not self.compact:
            return self._render_slowly(data, accepted_media_type, renderer_context)
        try:
            body = orjson.dumps(data, default=self.encoder_class().default, option=_OPTIONS)
        except orjson.JSONEncodeError:
            return self._render_slowly(data, accepted_media_type, renderer_context)
        return body.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")

    def _render_slowly(self, data: Any, accepted_media_type: str | None, renderer_context: Any) -> bytes:
        body: bytes = super().render(data, accepted_media_type, renderer_context)
        return body
