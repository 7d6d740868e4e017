"""Accounts are kept in both databases."""

from typing import Any


class AccountsRouter:
    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return True if app_label == "accounts" else None


class ArchivedAccountsRouter:
    """Reads tokens in the archive."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "archive" if model.__name__ == "PersonToken" else None
