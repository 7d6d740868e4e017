"""URLs of the board's API."""

from rest_framework.routers import DefaultRouter

from example_project.board import views

router = DefaultRouter()
router.register(r"projects/(?P<project_pk>[0-9]+)/builds", views.ProjectBuildViewSet, basename="project-build")
router.register("builds", views.BuildViewSet, basename="build")
router.register("status", views.StatusViewSet, basename="status")
router.register("events", views.EventViewSet, basename="event")
urlpatterns = router.urls
