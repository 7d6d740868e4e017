"""Which renderer a client gets, from memory: REST framework parses `Accept` anew for each poll."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from django_pollable.memory import Remembered

LONGEST = 256
"""A longer `Accept` (characters) is not remembered."""

_found: Remembered[tuple[int, str]] = Remembered(1024)


class RememberedNegotiation(DefaultContentNegotiation):
    """What `DefaultContentNegotiation` finds: `Accept`, the renderers and the format decide alone."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        offered = list(renderers)
        accept = request.META.get("HTTP_ACCEPT", "*/*")
        override = self.settings.URL_FORMAT_OVERRIDE
        wanted = format_suffix or request.query_params.get(override)
        if wanted or len(accept) > LONGEST:
            chosen: tuple[BaseRenderer, str] = super().select_renderer(request, offered, format_suffix)
            return chosen
        key = accept, *((type(renderer), renderer.media_type) for renderer in offered)
        found = _found.get(key, math.inf)
        if found is None:
            renderer, media_type = super().select_renderer(request, offered)
            found = offered.index(renderer), media_type
            _found.put(key, found)
        index, media_type = found
        return offered[index], media_type
