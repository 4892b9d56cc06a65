"""A real HTTP server on loopback, which others build on: what it answers is theirs to say."""

from __future__ import annotations

import ssl
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, Self, cast

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class LocalRequest(BaseHTTPRequestHandler):
    """One request, and the way to answer it; connections stay open."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.sent_headers = {name.lower(): value for name, value in self.headers.items()}
        self.body = self.rfile.read(int(self.sent_headers.get("content-length", 0)))
        try:
            cast(LocalServer, self.server).answer(self)
        except OSError:  # the client has hung up
            self.close_connection = True

    do_HEAD = do_POST = do_GET

    def reply(
        self, status: int, headers: Mapping[str, str] = NO_HEADERS, body: bytes = b""
    ) -> None:
        """Sends a whole answer with its length."""
        self.send_response(status)
        length = {} if status == 204 else {"Content-Length": str(len(body))}
        for name, value in {**headers, **length}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


class LocalServer(ThreadingHTTPServer):
    """A context manager; `url` is its root."""

    daemon_threads = True
    request_queue_size = 128  # all threads of a test at once

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), LocalRequest)
        if tls is not None:
            self.socket = tls.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )
        self.host = f"127.0.0.1:{self.server_port}"
        self.url = f"http{'s' if tls else ''}://{self.host}"
        #: Set when the block ends, so that answers that wait for ever need not.
        self.closing = threading.Event()

    def answer(self, request: LocalRequest) -> None:
        """Answers one request, in its own thread."""
        raise NotImplementedError

    def handle_error(self, *given: Any) -> None:
        """Says nothing of a client that refuses the certificate, and hangs up."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(*given)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()
        self._thread.join()
