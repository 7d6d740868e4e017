"""The application."""

from django.apps import AppConfig


class BoardConfig(AppConfig):
    name = "example_project.board"
