"""A real HTTP server on loopback that takes webhooks, and misbehaves on request."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self


class Post(NamedTuple):
    """A POST as it came; names of headers are lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


class HookReply(NamedTuple):
    """What the server says to a POST."""

    status: int = 204
    headers: dict[str, str] = {}  # noqa: RUF012
    body: bytes = b""


class WebhookServer:
    """A context manager; `reply` decides on each POST, in its own thread."""

    def __init__(self, reply: Callable[[Post], HookReply] = lambda post: HookReply()) -> None:
        self.reply = reply
        self.posts: list[Post] = []
        #: Set when the block ends, so that replies that wait for ever need not.
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}/hook"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                post = Post(self.path, headers, body)
                server.posts.append(post)
                server.answer(self, server.reply(post))

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def answer(self, handler: BaseHTTPRequestHandler, reply: HookReply) -> None:
        try:
            handler.send_response(reply.status)
            for name, value in reply.headers.items():
                handler.send_header(name, value)
            if reply.status != 204:
                handler.send_header("Content-Length", str(len(reply.body)))
            handler.end_headers()
            handler.wfile.write(reply.body)
        except OSError:  # the client has hung up
            handler.close_connection = True

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
