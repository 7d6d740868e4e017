from django.apps import AppConfig


class ShopConfig(AppConfig):
    name = "tests.shop"

    def ready(self) -> None:
        from django.contrib.auth.models import Group

        from django_pollable.models import register

        register(Group)
