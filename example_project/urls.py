"""URLs of the example project."""

from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(url="api/")),
    path("api/", include("example_project.board.urls")),
    path("api/auth/", include("rest_framework.urls")),
]
