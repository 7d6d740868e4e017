"""What clients see."""

from rest_framework import serializers

from example_project.board.models import Build, Event, Label, Step


class StepSerializer(serializers.ModelSerializer[Step]):
    class Meta:
        model = Step
        fields = ["id", "name", "status"]


class BuildSerializer(serializers.ModelSerializer[Build]):
    """A build as its project's members see it."""

    steps = StepSerializer(many=True, read_only=True)
    labels = serializers.SlugRelatedField(
        slug_field="name", many=True, required=False, queryset=Label.objects.order_by("name")
    )

    class Meta:
        model = Build
        fields = [
            "id",
            "project",
            "number",
            "branch",
            "commit",
            "status",
            "author",
            "labels",
            "steps",
            "created_at",
            "started_at",
            "finished_at",
        ]
        read_only_fields = ["project", "number"]


class PublicBuildSerializer(serializers.ModelSerializer[Build]):
    """A build as everybody sees it."""

    class Meta:
        model = Build
        fields = ["id", "project", "number", "branch", "status", "started_at", "finished_at"]


class EventSerializer(serializers.ModelSerializer[Event]):
    class Meta:
        model = Event
        fields = ["id", "kind", "message", "created_at"]
