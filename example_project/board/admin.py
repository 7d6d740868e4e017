"""The board in the admin."""

from django.contrib import admin

from example_project.board.models import Build, Event, Label, Project

admin.site.register([Build, Event, Label, Project])
