"""`python -m tests.chaos.server PORT`: serve the tests' URLs from threads."""

import sys
from typing import Any

import django

django.setup()

from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402


class Quiet(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


if __name__ == "__main__":
    server = ThreadedWSGIServer(("127.0.0.1", int(sys.argv[1])), Quiet)
    server.daemon_threads = True
    server.set_app(get_wsgi_application())
    server.serve_forever()
