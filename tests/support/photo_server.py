"""Real HTTP servers on loopback: one serves a photograph, one sends whatever it is told to."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

#: What a raw server does with one connection, once it has read the request.
Script = Callable[[socket.socket], None]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # all threads of a test at once

    def handle_error(self, *_: Any) -> None:
        """Says nothing: a client that refuses the certificate hangs up."""


class PhotoServer:
    """A context manager; `url` is its root.

    /photo answers; /flaky answers 503 twice for each query first; /gone 404; /down 503; /moved
    redirects to /photo, /to?URL to a URL, /loop to itself; /slow says nothing for `slow_seconds`,
    /held until `gate` is set; /endless never ends; /drip drips; /status/N answers N; /packed is
    compressed; /kept keeps the connection. `ports` holds where each request came from, `heads` its
    headers.
    """

    slow_seconds = 3.0

    def __init__(self, photograph: Path, tls: ssl.SSLContext | None = None) -> None:
        self.content = photograph.read_bytes()
        self.asked: Counter[str] = Counter()
        self.ports: list[int] = []
        self.heads: list[dict[str, str]] = []
        self.gate = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_port
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked[self.path] += 1
                server.ports.append(self.client_address[1])
                server.heads.append({name.lower(): value for name, value in self.headers.items()})
                server.answer(self, self.path.partition("?")[0])

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def answer(self, handler: BaseHTTPRequestHandler, path: str) -> None:
        """Answers one request as its path says."""
        if path == "/slow":
            time.sleep(self.slow_seconds)
        if path == "/held":
            self.gate.wait()
        try:
            if path == "/kept":
                handler.protocol_version = "HTTP/1.1"
            # Only there a length says where the answer ends.
            handler.close_connection = path != "/kept"
            handler.send_response(self._status(handler, path))
            for name, value in self._headers(handler, path):
                handler.send_header(name, value)
            handler.end_headers()
            self._send_body(handler, path)
        except OSError:  # the client has hung up
            handler.close_connection = True

    def _status(self, handler: BaseHTTPRequestHandler, path: str) -> int:
        if path.startswith("/status/"):
            return int(path.removeprefix("/status/"))
        flaky = path == "/flaky" and self.asked[handler.path] <= 2
        fixed = {"/gone": 404, "/down": 503, "/moved": 302, "/to": 302, "/loop": 307}
        return fixed.get(path, 503 if flaky else 200)

    def _headers(self, handler: BaseHTTPRequestHandler, path: str) -> list[tuple[str, str]]:
        target = unquote(handler.path.partition("?")[2])
        return {
            "/moved": [("Location", "/photo")],
            "/loop": [("Location", "/loop")],
            "/to": [("Location", target)],
            "/packed": [("Content-Encoding", "gzip")],
            "/kept": [("Content-Length", str(len(self.content)))],
            "/declared": [("Content-Length", "3000000")],
        }.get(path, [])

    def _send_body(self, handler: BaseHTTPRequestHandler, path: str) -> None:
        while path == "/endless":
            handler.wfile.write(b"x" * 65536)
        while path == "/drip":
            handler.wfile.write(b"x")
            time.sleep(0.1)
        if path != "/declared":
            handler.wfile.write(self.content)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class RawServer:
    """A context manager that answers each connection with a script, whatever was asked."""

    def __init__(
        self, script: Script, *, reads: bool = True, place: tuple[str, int] = ("127.0.0.1", 0)
    ) -> None:
        self._script = script
        self._reads = reads
        self.connections = 0
        self._listener = socket.create_server(place)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                connection = self._listener.accept()[0]
                self.connections += 1
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # the client has hung up
            if self._reads:
                connection.recv(65536)
            self._script(connection)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
