"""Who may see a project."""

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView


class IsProjectMember(BasePermission):
    """The user is a member of the project that the URL names."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        user = request.user
        return user.is_authenticated and user.projects.filter(pk=view.kwargs["project_pk"]).exists()
