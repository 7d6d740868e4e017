"""The tests of django_pollable."""
