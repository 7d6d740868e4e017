"""Old things live in a database of their own."""

from typing import Any


class ArchiveRouter:
    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "archive" if model.__name__ == "ArchivedItem" else None

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, model_name: str | None = None, **hints: Any) -> bool | None:
        if app_label == "pollable":
            return None
        return (model_name == "archiveditem") == (db == "archive") if model_name else None
