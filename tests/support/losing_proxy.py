"""A connection to Redis that loses answers: what was asked arrives, and the asker never hears."""

from __future__ import annotations

import socket
from collections.abc import Callable
from urllib.parse import urlsplit

from tests.support.photo_server import RawServer

_MOST = 65_536


class LosingProxy(RawServer):
    """A context manager; inside it a port of loopback passes everything on to a server.

    Attributes:
        url: of the proxy.
        marker: what is asked with this in it gets no answer, as often as `times` says.
        then: called once the server has answered, before the asker loses the connection.
    """

    def __init__(self, url: str) -> None:
        super().__init__(self._pass_on, reads=False)
        theirs = urlsplit(url)
        self._server = (str(theirs.hostname), theirs.port or 6379)
        who = f"{theirs.netloc.rpartition('@')[0]}@" if "@" in theirs.netloc else ""
        self.url = theirs._replace(netloc=f"{who}127.0.0.1:{self.port}").geturl()
        self.marker, self.times = b"", 0
        self.then: Callable[[], object] = bool

    def _pass_on(self, client: socket.socket) -> None:
        """Passes on what is asked, and each answer before the next is asked."""
        with socket.create_connection(self._server) as server:
            while asked := client.recv(_MOST):
                server.sendall(asked)
                answer = server.recv(_MOST)
                if self.times and self.marker in asked:
                    self.times -= 1
                    self.then()
                    return
                client.sendall(answer)
