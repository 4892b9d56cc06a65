"""A connection to Redis that loses answers: what was asked arrives, and the asker never hears."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Self
from urllib.parse import urlsplit

_MOST = 65_536


class LosingProxy:
    """A context manager; inside it a port of loopback passes everything on to a server.

    Attributes:
        url: of the proxy.
        marker: what is asked with this in it gets no answer, as often as `times` says.
        then: called once the server has answered, before the asker loses the connection.
    """

    def __init__(self, url: str) -> None:
        theirs = urlsplit(url)
        self._server = (str(theirs.hostname), theirs.port or 6379)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        port = self._listening.getsockname()[1]
        who = f"{theirs.netloc.rpartition('@')[0]}@" if "@" in theirs.netloc else ""
        self.url = theirs._replace(netloc=f"{who}127.0.0.1:{port}").geturl()
        self.marker, self.times = b"", 0
        self.then: Callable[[], object] = bool

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:  # closed
                return
            try:
                server = socket.create_connection(self._server)
            except OSError:
                client.close()
                continue
            self._open += [client, server]
            self._threads.append(threading.Thread(target=self._pass_on, args=(client, server)))
            self._threads[-1].start()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        """Passes on what is asked, and each answer before the next is asked."""
        try:
            while asked := client.recv(_MOST):
                server.sendall(asked)
                answer = server.recv(_MOST)
                if self.times and self.marker in asked:
                    self.times -= 1
                    self.then()
                    break
                client.sendall(answer)
        except OSError:  # one of them is gone
            pass
        client.close()
        server.close()

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._open:
            if connection.fileno() >= 0:
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
