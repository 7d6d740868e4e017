"""Writes of a single resource that lose no update (RFC 9110 Section 13.1.1)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from django.core.exceptions import PermissionDenied
from django.db import Error, connections, transaction
from django.db.models import F, Model, QuerySet
from django.http import Http404
from rest_framework import mixins
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response

from django_pollable.conditional import check_write, has_precondition
from django_pollable.exceptions import PreconditionRequired
from django_pollable.ledger.sequencer import settle
from django_pollable.ledger.state import Look, read_state
from django_pollable.ledger.tables import Feed
from django_pollable.ledger.versions import settled_version
from django_pollable.mixins import PollableMixin

logger = logging.getLogger(__name__)


class PollableWriteMixin(PollableMixin):
    """
    What updates and deletions share.

    Attributes:
        requires_precondition: True where a write without `If-Match` is answered 428.
    """

    requires_precondition: ClassVar[bool] = False

    @contextmanager
    def guarded(self, request: Request) -> Iterator[Model | None]:
        """
        Hold the view's object for a write, if the request has preconditions, which hold; None if it has none.

        They are checked after permissions and before the body (RFC 9110 Section 13.2.1). The row is locked
        from then on until the transaction ends; without preconditions there is neither lock nor transaction.

        Raises:
            PreconditionRequired: the view wants one.
            PreconditionFailed: the object has changed.
        """
        sent = request._request
        if not (self.requires_precondition or has_precondition(sent)):
            yield None
            return
        instance = self.get_object()
        if self.requires_precondition and not sent.META.keys() & {"HTTP_IF_MATCH", "HTTP_IF_UNMODIFIED_SINCE"}:
            raise PreconditionRequired("Get the resource, and send its tag in If-Match.")
        with transaction.atomic(using=self.written_database):
            check_write(sent, place=self._held_version(instance))
            yield instance

    def _held_version(self, instance: Model) -> str:
        """Lock the row of `instance`, and return the name of its version; "" where no client can know it yet."""
        is_seen = self._lock(instance)
        feed, using = self.get_feed(), self.written_database
        state = read_state(feed, None, using=using, look=Look.FULL) if is_seen else None
        version = settled_version(state, feed, instance, using=using) if state else None
        return version.name if version else ""

    def _lock(self, instance: Model) -> bool:
        """
        Lock the row of `instance`, and return whether the transaction sees it as it is.

        This is its first statement, so that it sees what others have committed until then. Where the
        transaction has begun earlier, MySQL's may go on seeing the past. SQLite has one lock, and takes it to write.

        Raises:
            Http404: the row is gone.
        """
        feed, using = self.get_feed(), self.written_database
        features = connections[using].features
        if not features.has_select_for_update:
            Feed.objects.using(using).filter(pk=feed.id).update(id=F("id"))
            return True
        rows: QuerySet[Any, Any] = QuerySet(feed.model, using=using).filter(pk=instance.pk).values()
        locked = rows.select_for_update(no_key=features.has_select_for_no_key_update).first()
        if locked is None:
            raise Http404
        return bool(connections[using].vendor != "mysql" or rows.first() == locked)


class PollableUpdateMixin(PollableWriteMixin, mixins.UpdateModelMixin):
    """`update` and `partial_update` that heed `If-Match`, and tell the tag of what they have written."""

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        with self.guarded(request) as instance:
            response = super().update(request, *args, **kwargs)
        etag = self._etag_of(response, instance)
        if etag is not None:
            response.headers["ETag"] = etag
        return response

    def _etag_of(self, response: Response, instance: Model | None) -> str | None:
        """
        Return the tag of what `response` shows, now that it is committed, or None where it has none for sure.

        It has none where the transaction goes on, where the row does not look like that any more, and after
        a PUT that was not stored just as it was sent (RFC 9110 Section 9.3.4).
        """
        feed, using = self.get_feed(), self.written_database
        is_as_sent = self.request.method != "PUT" or self.request.data == response.data
        if connections[using].in_atomic_block or not is_as_sent:
            return None
        try:
            settle(feed, using=using)
            state = read_state(feed, None, using=using, look=Look.FULL)
            version = settled_version(state, feed, instance or self.get_object(), using=using) if state else None
            # read after the version: a newer row than its tag is safe, an older one is not
            if state is None or version is None or self.get_serializer(self.get_object()).data != response.data:
                return None
            return self.tag_of(version, self.get_poll_interval_seconds(state))
        except (Error, Http404, PermissionDenied, APIException):  # the write is done, whatever comes of its tag
            where = {"pollable_event": "tag-withheld", "pollable_feed": feed.name, "pollable_database": using}
            logger.info("an update of %s has no tag", feed.name, exc_info=True, extra=where)
            return None


class PollableDestroyMixin(PollableWriteMixin, mixins.DestroyModelMixin):
    """A `destroy` that heeds `If-Match`."""

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        with self.guarded(request):
            return super().destroy(request, *args, **kwargs)
