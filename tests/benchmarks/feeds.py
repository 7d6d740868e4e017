"""Feeds of the benchmarks' table, as a project would write them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.authentication import TokenAuthentication
from rest_framework.permissions import IsAuthenticated

from django_pollable.authentication import PollableTokenAuthentication
from django_pollable.caching import CachePolicy
from django_pollable.views import PollableListAPIView
from tests.benchmarks.models import Entry


class EntrySerializer(serializers.ModelSerializer[Entry]):
    class Meta:
        model = Entry
        fields = "__all__"


class CommentedSerializer(EntrySerializer):
    """Shows rows of another table, too."""

    comments = serializers.SlugRelatedField(slug_field="text", many=True, read_only=True)


class PublicEntries(PollableListAPIView):
    """For everybody."""

    queryset = Entry.objects.all()
    serializer_class = EntrySerializer
    cache_policy = CachePolicy.public()
    varies_by_user = False

    def get_scope(self) -> Any:
        return {"project": self.kwargs["project"]}


class PrivateEntries(PollableListAPIView):
    """For users with a token of REST framework's."""

    queryset = Entry.objects.all()
    serializer_class = EntrySerializer
    authentication_classes = [TokenAuthentication]
    permission_classes = [IsAuthenticated]

    def get_scope(self) -> Any:
        return {"project": self.kwargs["project"]}


class QuickTokenEntries(PrivateEntries):
    """For users with the same token, which is looked up in one statement or remembered."""

    authentication_classes = [PollableTokenAuthentication]
