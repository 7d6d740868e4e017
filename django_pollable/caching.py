"""Who may keep an answer, and for how long (RFC 9111)."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpResponseBase

from django_pollable.headers import AnswerHeaders


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """What `Cache-Control` says of a view's 200 and 304 answers."""

    is_public: bool
    max_age: int

    @classmethod
    def private(cls) -> CachePolicy:
        """Return the default: only the client itself keeps the answer, and asks each time."""
        return cls(is_public=False, max_age=0)

    @classmethod
    def public(cls, *, max_age: int = 1) -> CachePolicy:
        """Return the policy of an anonymous view that any cache may share for `max_age` seconds."""
        return cls(is_public=True, max_age=max_age)

    def patch(self, response: HttpResponseBase) -> None:
        """
        Set the response's `Cache-Control`, unless the view has set one itself.

        `public` is taken back where something for one client has got into the answer by the time it is sent.
        """
        if self.is_public and not isinstance(response.headers, AnswerHeaders):
            response.headers = AnswerHeaders(response.headers, response.cookies)
        if response.has_header("Cache-Control"):
            return
        response.headers["Cache-Control"] = f"{'public' if self.is_public else 'private'}, max-age={self.max_age}"
