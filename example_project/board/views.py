"""What clients poll."""

from __future__ import annotations

from typing import Any

from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet

from django_pollable.caching import CachePolicy
from django_pollable.pagination import AfterIdPagination
from django_pollable.views import PollableListMixin, PollableReadOnlyViewSet, PollableViewSet
from example_project.board.models import Build, Event, Project
from example_project.board.permissions import IsProjectMember
from example_project.board.serializers import BuildSerializer, EventSerializer, PublicBuildSerializer


class ProjectBuildViewSet(PollableViewSet):
    """The builds of one project, for its members."""

    queryset = Build.objects.prefetch_related("steps", "labels")
    serializer_class = BuildSerializer
    permission_classes = [IsAuthenticated, IsProjectMember]
    filterset_fields = ["status"]

    def get_scope(self) -> dict[str, Any]:
        return {"project": self.kwargs["project_pk"]}

    def perform_create(self, serializer: BaseSerializer[Build]) -> None:
        project = Project.objects.get(pk=self.kwargs["project_pk"])
        serializer.save(project=project, number=project.next_number())


class BuildViewSet(PollableReadOnlyViewSet):
    """The builds of all projects of the user: a cursor expires when they become more or fewer."""

    queryset = Build.objects.prefetch_related("steps", "labels")
    serializer_class = BuildSerializer
    permission_classes = [IsAuthenticated]
    filterset_fields = ["status"]

    def get_scope(self) -> list[dict[str, Any]]:
        return [{"project": pk} for pk in self.request.user.projects.values_list("pk", flat=True)]


class StatusViewSet(PollableListMixin, GenericViewSet[Build]):
    """The builds of all public projects: the same bytes for everybody, so that any cache may share them."""

    queryset = Build.objects.all()
    serializer_class = PublicBuildSerializer
    authentication_classes = []
    permission_classes = []
    renderer_classes = [JSONRenderer]
    filterset_fields = ["status"]
    cache_policy = CachePolicy.public()
    varies_by_user = False

    def get_scope(self) -> list[dict[str, Any]]:
        return [{"project": pk} for pk in Project.objects.filter(public=True).values_list("pk", flat=True)]


class EventViewSet(PollableListMixin, GenericViewSet[Event]):
    """The events, for everybody: `?after_id=` continues after the last one that a client has."""

    queryset = Event.objects.all()
    serializer_class = EventSerializer
    pagination_class = AfterIdPagination
    authentication_classes = []
    permission_classes = []
    renderer_classes = [JSONRenderer]
    cache_policy = CachePolicy.public()
    varies_by_user = False
