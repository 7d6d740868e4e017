"""HTTP polling for Django REST framework that never loses a change."""

__version__ = "0.1.0"
