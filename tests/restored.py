"""Write and poll items of the database that `DATABASE_URL` names: `python -m tests.restored`, for `test_restoring`."""

from __future__ import annotations

import json
import os
import sys

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.chaos.settings"


def main(*commands: str) -> None:
    """Carry out each command: `+name` writes an item, anything else is a cursor to poll with; print the answers."""
    django.setup()
    from rest_framework.test import APIClient

    from tests.shop.models import Item, Tenant

    tenant, _ = Tenant.objects.get_or_create(name="a")
    answers = []
    for command in commands:
        if command.startswith("+"):
            Item.objects.create(tenant=tenant, name=command[1:])
        else:
            answers.append(APIClient().get("/open/all/items/", {"since": command} if command else {}).json())
    print(json.dumps(answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
