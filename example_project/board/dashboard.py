"""The page that shows the board, and how it is polled."""

from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.views.generic import TemplateView

from example_project.board.models import Project

POLICY = "default-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; object-src 'none'"


class Dashboard(TemplateView):
    """One's own builds after signing in; the public ones to everybody else, and on request."""

    template_name = "board/board.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = super().dispatch(request, *args, **kwargs)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Cache-Control"] = "private, no-store"
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = self.request.user
        is_own = user.is_authenticated and self.request.GET.get("feed") != "public"
        visible = Q(public=True) | Q(members=user) if user.is_authenticated else Q(public=True)
        return super().get_context_data(
            is_own=is_own,
            feed=f"{reverse('my-builds-list' if is_own else 'status-list')}?limit=500",
            projects=list(Project.objects.filter(visible).distinct().order_by("name").values("id", "name", "public")),
            people=("alice", "bob"),
            **kwargs,
        )
