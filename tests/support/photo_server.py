"""Real HTTP servers on loopback: one serves a photograph, one sends whatever a script says."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Self
from urllib.parse import unquote

from tests.support.local_server import LocalRequest, LocalServer

#: What a raw server does with one connection, once it has read the request.
Script = Callable[[socket.socket], None]


class PhotoServer(LocalServer):
    """A server of one photograph.

    /photo answers; /flaky answers 503 twice for each query first; /gone 404; /down 503; /moved
    redirects to /photo, /to?URL to a URL, /loop to itself; /slow says nothing for `slow_seconds`,
    /held until `gate` is set, /held?NAME until then or until NAME is in `opened`; /endless never
    ends; /status/N answers N; /packed is compressed; /kept keeps the connection. `ports` holds
    where each request came from, `heads` its headers.
    """

    slow_seconds = 3.0

    def __init__(self, photograph: Path, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls)
        self.content = photograph.read_bytes()
        self.asked: Counter[str] = Counter()
        self.ports: list[int] = []
        self.heads: list[dict[str, str]] = []
        self.gate = threading.Event()
        self.opened: set[str] = set()
        self.port = self.server_port

    def answer(self, request: LocalRequest) -> None:
        self.asked[request.path] += 1
        self.ports.append(request.client_address[1])
        self.heads.append(request.sent_headers)
        path = request.path.partition("?")[0]
        if path == "/slow":
            time.sleep(self.slow_seconds)
        while path == "/held" and not self.gate.wait(0.02):
            if request.path.partition("?")[2] in self.opened:
                break
        # Only /kept has a length that says where the answer ends.
        request.close_connection = path != "/kept"
        request.protocol_version = "HTTP/1.1" if path == "/kept" else "HTTP/1.0"
        request.send_response(self._status(request, path))
        for name, value in self._headers(request, path).items():
            request.send_header(name, value)
        request.end_headers()
        self._send_body(request, path)

    def _status(self, request: LocalRequest, path: str) -> int:
        if path.startswith("/status/"):
            return int(path.removeprefix("/status/"))
        flaky = path == "/flaky" and self.asked[request.path] <= 2
        fixed = {"/gone": 404, "/down": 503, "/moved": 302, "/to": 302, "/loop": 307}
        return fixed.get(path, 503 if flaky else 200)

    def _headers(self, request: LocalRequest, path: str) -> dict[str, str]:
        return {
            "/moved": {"Location": "/photo"},
            "/loop": {"Location": "/loop"},
            "/to": {"Location": unquote(request.path.partition("?")[2])},
            "/packed": {"Content-Encoding": "gzip"},
            "/kept": {"Content-Length": str(len(self.content))},
            "/declared": {"Content-Length": "3000000"},
        }.get(path, {})

    def _send_body(self, request: LocalRequest, path: str) -> None:
        while path == "/endless":
            request.wfile.write(b"x" * 65536)
        if path != "/declared":
            request.wfile.write(self.content)

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        super().__exit__()


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
