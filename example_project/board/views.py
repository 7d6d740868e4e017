"""How the board is polled."""

from pathlib import Path
from typing import Any

from django.db.models import Count
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import api_view
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from django_pollable.caching import CachePolicy
from django_pollable.decorators import ratelimit, shed_load
from django_pollable.files import RangeMixin
from django_pollable.mixins import PollableListMixin
from django_pollable.pagination import AfterIdPagination
from django_pollable.problems import MEDIA_TYPE
from django_pollable.views import PollableReadOnlyViewSet, PollableViewSet
from example_project.board.logs import log_of
from example_project.board.models import Build, Event, Project
from example_project.board.permissions import IsProjectMember
from example_project.board.serializers import BuildSerializer, EventSerializer


@ratelimit(key="ip", rate="5/m", name="summary")
@shed_load(max_concurrent=2)
@extend_schema(responses={200: {"type": "object", "additionalProperties": {"type": "integer"}}})
@api_view(["GET"])
def summary(request: Request) -> Response:
    """How many builds there are of each status: counted anew each time, and so not to be asked often."""
    return Response(dict(Build.objects.values_list("status").annotate(Count("pk"))))


@csrf_exempt
def nothing(request: HttpRequest) -> JsonResponse:
    """What no other route knows: problem details, too, and not Django's page."""
    body = {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "There is no such resource."}
    return JsonResponse(body, status=404, headers={"Cache-Control": "no-store"}, content_type=MEDIA_TYPE)


class ProjectBuilds(PollableViewSet):
    """The builds of one project, for its members."""

    queryset = Build.objects.select_related("project").prefetch_related("labels", "steps")
    serializer_class = BuildSerializer
    permission_classes = [IsProjectMember]
    lookup_value_converter = "int"
    filterset_fields = ["status"]
    throttle_scope = "polls"

    def get_scope(self) -> Any:
        return {"project": self.kwargs["project_pk"]}

    def perform_create(self, serializer: BaseSerializer[Build]) -> None:
        serializer.save(project_id=self.kwargs["project_pk"])


class BuildLog(RangeMixin, APIView):
    """What a build says, while it says it: for the members of its project."""

    permission_classes = [IsProjectMember]
    throttle_scope = "polls"
    content_type = "text/plain; charset=utf-8"
    append_only = True
    poll_interval_seconds = 1

    def get_source(self) -> Path:
        return log_of(get_object_or_404(Build, pk=self.kwargs["pk"], project=self.kwargs["project_pk"]).pk)


class MyBuilds(PollableReadOnlyViewSet):
    """The builds of all projects of a user: one cursor over several scopes."""

    queryset = ProjectBuilds.queryset
    serializer_class = BuildSerializer
    permission_classes = [IsAuthenticated]
    lookup_value_converter = "int"
    filterset_fields = ["status"]
    throttle_scope = "polls"

    def get_scope(self) -> Any:
        return [{"project": pk} for pk in self.request.user.projects.values_list("pk", flat=True)]


class Public(PollableListMixin, GenericViewSet):
    """What everybody may see, and any cache may share."""

    authentication_classes = []
    permission_classes = []
    renderer_classes = [JSONRenderer]
    cache_policy = CachePolicy.public()
    varies_by_user = False
    throttle_scope = "public"


class Status(Public):
    """The builds of all public projects."""

    queryset = ProjectBuilds.queryset
    serializer_class = BuildSerializer

    def get_scope(self) -> Any:
        return [{"project": pk} for pk in Project.objects.filter(public=True).values_list("pk", flat=True)]


class Events(Public):
    """What happened, by the last id one has seen."""

    queryset = Event.objects.all()
    serializer_class = EventSerializer
    pagination_class = AfterIdPagination
