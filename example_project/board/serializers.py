"""What clients see of the board."""

from rest_framework import serializers

from example_project.board.models import Build, Event, Step


class StepSerializer(serializers.ModelSerializer[Step]):
    class Meta:
        model = Step
        fields = ("name", "status")


class BuildSerializer(serializers.ModelSerializer[Build]):
    steps = StepSerializer(many=True, read_only=True)
    labels = serializers.SlugRelatedField(slug_field="name", many=True, read_only=True)

    class Meta:
        model = Build
        fields = (
            "id",
            "project",
            "number",
            "branch",
            "commit",
            "status",
            "author",
            "created_at",
            "started_at",
            "finished_at",
            "labels",
            "steps",
        )
        read_only_fields = ("project",)


class EventSerializer(serializers.ModelSerializer[Event]):
    class Meta:
        model = Event
        fields = ("id", "kind", "message", "created_at")
