"""The Python client of pollable feeds: it needs neither Django nor Django REST framework."""
