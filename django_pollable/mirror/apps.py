"""The application."""

from django.apps import AppConfig


class MirrorConfig(AppConfig):
    name = "django_pollable.mirror"
    label = "pollable_mirror"
    verbose_name = "Pollable mirrors"
    default_auto_field = "django.db.models.BigAutoField"
