"""A view for each way to poll."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Prefetch
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import serializers
from rest_framework.authentication import SessionAuthentication, TokenAuthentication
from rest_framework.filters import OrderingFilter, SearchFilter
from rest_framework.generics import ListAPIView
from rest_framework.pagination import PageNumberPagination
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.views import APIView

from django_pollable.caching import CachePolicy
from django_pollable.files import RangeMixin
from django_pollable.pagination import AfterIdPagination
from django_pollable.views import PollableListAPIView, PollableReadOnlyViewSet, PollableViewSet
from tests.shop.models import Country, Document, Item, Log, Part, Price, Tenant


class ItemSerializer(serializers.ModelSerializer[Item]):
    class Meta:
        model = Item
        fields = ["id", "name", "status", "count"]
        read_only_fields = ["id"]


class IsOwnTenant(BasePermission):
    """A user belongs to the tenant whose name is the user's."""

    def has_permission(self, request: Any, view: Any) -> bool:
        return Tenant.objects.filter(pk=view.kwargs["tenant"], name=request.user.username).exists()


class ItemViewSet(PollableViewSet):
    queryset = Item.objects.select_related("author").prefetch_related("labels")
    serializer_class = ItemSerializer
    authentication_classes = [TokenAuthentication, SessionAuthentication]
    permission_classes = [IsAuthenticated, IsOwnTenant]
    filter_backends = [DjangoFilterBackend]
    filterset_fields = ["status"]

    def get_scope(self) -> Any:
        return {"tenant": self.kwargs["tenant"]}

    def perform_create(self, serializer: Any) -> None:
        serializer.save(tenant_id=self.kwargs["tenant"])


class OpenItems(PollableListAPIView):
    """The items of a tenant, for everybody."""

    queryset = Item.objects.all()
    serializer_class = ItemSerializer
    authentication_classes = []
    permission_classes = []
    cache_policy = CachePolicy.public()
    varies_by_user = False
    filter_backends = [DjangoFilterBackend, SearchFilter, OrderingFilter]
    filterset_fields = ["status"]
    search_fields = ["name"]

    def get_scope(self) -> Any:
        return [{"tenant": pk} for pk in self.kwargs["tenants"].split(",")]


class AllItems(OpenItems):
    def get_scope(self) -> Any:
        return None


class DraftlessItems(OpenItems):
    """Hides rows inside the scope."""

    queryset = Item.objects.exclude(status="draft")


class NumberedItems(OpenItems):
    """An ordinary list."""

    class pagination_class(PageNumberPagination):  # noqa: N801
        page_size = 10


def serializer_of(of: Any) -> Any:
    class Meta:
        model = of
        fields = "__all__"

    return type(f"{of.__name__}Serializer", (serializers.ModelSerializer,), {"Meta": Meta})


class Logs(PollableListAPIView):
    queryset = Log.objects.all()
    serializer_class = serializer_of(Log)
    authentication_classes = []
    pagination_class = AfterIdPagination


class Documents(PollableListAPIView):
    queryset = Document.objects.all()
    serializer_class = serializer_of(Document)
    authentication_classes = []

    def get_scope(self) -> Any:
        return {"owner": self.request.GET["owner"], "folder": self.request.GET.get("folder")}


class Prices(PollableListAPIView):
    queryset = Price.objects.all()
    serializer_class = serializer_of(Price)
    authentication_classes = []


class Countries(PollableReadOnlyViewSet):
    queryset = Country.objects.all()
    serializer_class = serializer_of(Country)
    authentication_classes = []


class EditedCountries(PollableViewSet):
    queryset = Country.objects.all()
    serializer_class = serializer_of(Country)
    authentication_classes = []


class ChaosSerializer(ItemSerializer):
    """What shows followed rows, too."""

    parts = serializers.SlugRelatedField(slug_field="name", many=True, read_only=True)  # type: ignore[var-annotated]

    class Meta(ItemSerializer.Meta):
        fields = [*ItemSerializer.Meta.fields, "tenant", "parts"]


class ChaosItems(OpenItems):
    queryset = Item.objects.prefetch_related(Prefetch("parts", Part.objects.order_by("pk")))
    serializer_class = ChaosSerializer

    def get_scope(self) -> Any:
        return None if self.kwargs["tenants"] == "all" else super().get_scope()


class NaiveItems(ListAPIView):
    """How others do it: all rows with a higher id, or updated since the newest that was seen."""

    serializer_class = serializer_of(Item)
    authentication_classes = []

    def get_queryset(self) -> Any:
        if "updated_since" in self.request.GET:
            return Item.objects.filter(updated_at__gte=self.request.GET["updated_since"])
        return Item.objects.filter(pk__gt=int(self.request.GET["after"]))


class File(RangeMixin, APIView):
    """A file of the media folder, by ranges."""

    def get_source(self) -> Path:
        return Path(settings.MEDIA_ROOT) / self.kwargs["name"]


class GrowingLog(File):
    """The same, where bytes are only ever added."""

    append_only = True
    poll_interval_seconds = 0.05
