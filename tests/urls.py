"""Where the tests poll."""

from django.contrib import admin
from django.urls import path
from rest_framework.routers import SimpleRouter

from tests.shop import views

router = SimpleRouter()
router.register("tenants/(?P<tenant>[^/]+)/items", views.ItemViewSet)
router.register("countries", views.Countries)
router.register("edited/countries", views.EditedCountries, basename="edited-countries")
urlpatterns = [
    path("admin/", admin.site.urls),
    path("chaos/<tenants>/items/", views.ChaosItems.as_view()),
    path("naive/", views.NaiveItems.as_view()),
    path("open/all/items/", views.AllItems.as_view()),
    path("open/<tenants>/items/", views.OpenItems.as_view()),
    path("open/<tenants>/draftless/", views.DraftlessItems.as_view()),
    path("open/<tenants>/numbered/", views.NumberedItems.as_view()),
    path("logs/", views.Logs.as_view()),
    path("files/<name>", views.File.as_view()),
    path("logs/<name>", views.GrowingLog.as_view()),
    path("documents/", views.Documents.as_view()),
    path("prices/", views.Prices.as_view()),
    *router.urls,
]
