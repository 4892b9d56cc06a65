"""A real HTTP server on loopback that serves one checkpoint as the model hub does."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.support.local_server import LocalRequest, LocalServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "tests/toy-clip"


class HubServer(LocalServer):
    """A server whose `url` goes into HF_ENDPOINT; `asked` holds the paths that were asked for."""

    def __init__(self, folder: Path, *, hidden: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.files = {
            path.name: path.read_bytes() for path in folder.iterdir() if path.name not in hidden
        }
        self.asked: list[str] = []

    def answer(self, request: LocalRequest) -> None:
        self.asked.append(request.path)
        request.reply(*self._hub_reply(request.path.partition("?")[0]))

    def _hub_reply(self, path: str) -> tuple[int, dict[str, str], bytes]:
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
                {"type": "file", "path": name, "size": len(body), "oid": _file_sha1(body)}
                for name, body in self.files.items()
            ]
            return 200, {"Content-Type": "application/json"}, json.dumps(tree).encode()
        for revision in revisions:
            start = f"/{NAME}/resolve/{revision}/"
            body = self.files.get(path.removeprefix(start))
            if path.startswith(start) and body is not None:
                return 200, {"X-Repo-Commit": COMMIT, "ETag": f'"{_file_sha1(body)}"'}, body
        known = path.startswith((f"/api/models/{NAME}/", f"/{NAME}/"))
        code = "RevisionNotFound" if known else "RepoNotFound"
        return 404, {"X-Error-Code": code}, b"{}"


def _file_sha1(body: bytes) -> str:
    return hashlib.sha1(body).hexdigest()
