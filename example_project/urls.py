"""Where the board is polled."""

from django.contrib import admin
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView
from rest_framework.routers import DefaultRouter

from django_pollable.exposition import metrics
from example_project.board import views
from example_project.board.dashboard import Dashboard

router = DefaultRouter(use_regex_path=False)
router.register("builds", views.MyBuilds, basename="my-builds")
router.register("status", views.Status, basename="status")
router.register("events", views.Events, basename="events")
router.register("projects/<int:project_pk>/builds", views.ProjectBuilds, basename="project-builds")

urlpatterns = [
    path("", Dashboard.as_view(), name="dashboard"),
    path("admin/", admin.site.urls),
    path("metrics", metrics),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/summary/", views.summary),
    path("api/projects/<int:project_pk>/builds/<int:pk>/log/", views.BuildLog.as_view(), name="build-log"),
    path("api/", include(router.urls)),
    re_path("^api/.*/$", views.nothing),
    path("api-auth/", include("rest_framework.urls")),
]
