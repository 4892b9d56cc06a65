"""A real HTTP server on loopback that takes webhooks, and misbehaves on request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from tests.support.local_server import NO_HEADERS, LocalRequest, LocalServer


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
    headers: Mapping[str, str] = NO_HEADERS
    body: bytes = b""


class WebhookServer(LocalServer):
    """A server whose `reply` decides on each POST; `posts` holds what came."""

    def __init__(self, reply: Callable[[Post], HookReply] = lambda post: HookReply()) -> None:
        super().__init__()
        self.reply = reply
        self.posts: list[Post] = []
        self.url += "/hook"

    def answer(self, request: LocalRequest) -> None:
        post = Post(request.path, request.sent_headers, request.body)
        self.posts.append(post)
        request.reply(*self.reply(post))
