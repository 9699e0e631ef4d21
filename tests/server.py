"""A web server on this machine for downloads: whole, in two parts with a pause, cut off in the middle, or not there."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PAUSE = 0.3
"""Seconds between the halves of /slow."""


@contextmanager
def served(content: bytes) -> Iterator[str]:
    """The address of a server that answers with `content`: at /ok, /slow, half of it at /cut, and 404 at /gone."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/gone":
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            half = len(content) // 2
            self.wfile.write(content[:half])
            if self.path == "/cut":
                return
            if self.path == "/slow":
                self.wfile.flush()
                time.sleep(PAUSE)
            self.wfile.write(content[half:])

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()
        thread.join()
