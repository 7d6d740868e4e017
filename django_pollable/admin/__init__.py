"""The admin's pages for those who operate feeds: rows of the ledger are shown, and never edited."""

from django_pollable.admin.feeds import FeedAdmin
from django_pollable.admin.scopes import ScopeAdmin

__all__ = ["FeedAdmin", "ScopeAdmin"]
