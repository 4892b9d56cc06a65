"""A real HTTP server on loopback that serves one photograph, and misbehaves on request."""

from __future__ import annotations

import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self


class PhotoServer:
    """A context manager; `url` is its root.

    /photo answers; /flaky answers 503 twice for each query first; /gone 404; /down 503; /moved
    redirects; /slow says nothing for `slow_seconds`; /endless never ends; /drip drips.
    """

    slow_seconds = 3.0

    def __init__(self, photograph: Path) -> None:
        self.content = photograph.read_bytes()
        self.asked: Counter[str] = Counter()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked[self.path] += 1
                server.answer(self, self.path.partition("?")[0])

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def answer(self, handler: BaseHTTPRequestHandler, path: str) -> None:
        """Answers one request as its path says."""
        if path == "/slow":
            time.sleep(self.slow_seconds)
        flaky = path == "/flaky" and self.asked[handler.path] <= 2
        status = {"/gone": 404, "/down": 503, "/moved": 302}.get(path, 503 if flaky else 200)
        try:
            handler.send_response(status)
            if path == "/moved":
                handler.send_header("Location", "/photo")
            handler.end_headers()
            while path == "/endless":
                handler.wfile.write(b"x" * 65536)
            while path == "/drip":
                handler.wfile.write(b"x")
                time.sleep(0.1)
            if status == 200:
                handler.wfile.write(self.content)
        except OSError:  # the client has hung up
            handler.close_connection = True

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
