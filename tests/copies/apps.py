from django.apps import AppConfig


class CopiesConfig(AppConfig):
    name = "tests.copies"
