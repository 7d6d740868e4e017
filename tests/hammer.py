"""`python -m tests.hammer COUNT RATE`: ask so often from one address, and print how often that passed."""

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django

django.setup()

from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.test import RequestFactory  # noqa: E402

from django_pollable.decorators import ratelimit  # noqa: E402


def main(times: int, rate: str) -> None:
    @ratelimit(key="ip", rate=rate, group="hammer")
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    request = RequestFactory()
    print(sum(view(request.get("/")).status_code == 200 for _ in range(times)))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
