"""Whether rows may be deleted by the database with what they belong to (Django 6.1)."""

from django.db import connection, models

ARE_FOLLOWED = hasattr(models, "DB_CASCADE") and connection.vendor != "mysql"
"""MariaDB and MySQL fire no triggers for it: `pollable.E032` refuses such a model there."""
