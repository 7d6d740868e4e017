"""Who may poll a project."""

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView


class IsProjectMember(BasePermission):
    """Allow members of the project that the URL names; one that does not exist has none."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return request.user.projects.filter(pk=view.kwargs["project_pk"]).exists()
