"""A real HTTP server on loopback that serves one checkpoint as the model hub does."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "tests/toy-clip"


class HubServer:
    """A context manager; `url` goes into HF_ENDPOINT."""

    def __init__(self, folder: Path, *, hidden: tuple[str, ...] = ()) -> None:
        self.files = {
            path.name: path.read_bytes() for path in folder.iterdir() if path.name not in hidden
        }
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.asked.append(self.path)
                status, headers, body = server.answer(self.path.partition("?")[0])
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Returns status, headers and body for a path, as far as our client asks."""
        revisions = ("main", COMMIT)
        if path in (
            f"/api/models/{NAME}",
            *(f"/api/models/{NAME}/revision/{r}" for r in revisions),
        ):
            listed = [{"rfilename": name} for name in self.files]
            info = {"id": NAME, "modelId": NAME, "sha": COMMIT, "siblings": listed}
            return 200, {"Content-Type": "application/json"}, json.dumps(info).encode()
        if path in [f"/api/models/{NAME}/tree/{r}" for r in revisions]:
            tree = [
                {"type": "file", "path": name, "size": len(body), "oid": _sha(body)}
                for name, body in self.files.items()
            ]
            return 200, {"Content-Type": "application/json"}, json.dumps(tree).encode()
        for revision in revisions:
            start = f"/{NAME}/resolve/{revision}/"
            body = self.files.get(path.removeprefix(start))
            if path.startswith(start) and body is not None:
                return 200, {"X-Repo-Commit": COMMIT, "ETag": f'"{_sha(body)}"'}, body
        known = path.startswith((f"/api/models/{NAME}/", f"/{NAME}/"))
        code = "RevisionNotFound" if known else "RepoNotFound"
        return 404, {"X-Error-Code": code}, b"{}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _sha(body: bytes) -> str:
    return hashlib.sha1(body).hexdigest()
