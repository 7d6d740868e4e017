from typing import Any

from django.urls import path
from rest_framework import serializers

from builds.models import Build
from django_pollable.caching import CachePolicy
from django_pollable.pacing import AdaptiveInterval
from django_pollable.views import PollableListAPIView


class BuildSerializer(serializers.ModelSerializer[Build]):
    class Meta:
        model = Build
        fields = ("id", "status")


class Builds(PollableListAPIView):
    queryset = Build.objects.all()
    serializer_class = BuildSerializer
    authentication_classes = ()
    varies_by_user = False
    cache_policy = CachePolicy.public()
    poll_interval_seconds = AdaptiveInterval(minimum=2, maximum=5)

    def get_scope(self) -> dict[str, Any]:
        return {"project": self.kwargs["project"]}


urlpatterns = [path("projects/<int:project>/builds/", Builds.as_view())]
