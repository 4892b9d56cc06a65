"""Answers Prometheus over HTTP; whoever else connects costs a few threads and files at most."""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from moderation.errors import SettingsError
from moderation.listen_address import Address

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

log = logging.getLogger(__name__)

#: Connections at a time. One Prometheus needs one, for milliseconds; each takes a thread.
MOST_CONNECTIONS = 16

#: How long one may last, whatever it does; Prometheus itself gives up after 10 s.
LONGEST_SECONDS = 15.0

#: How long a new one waits for the end of one that was cut off; then it is closed.
_ROOM_SECONDS = 5.0


@contextmanager
def answering(registry: Collector, address: Address) -> Iterator[int]:
    """Answers scrapes of a registry inside the block; yields the port.

    Raises:
        SettingsError: it cannot listen there.
    """
    from prometheus_client import make_wsgi_app

    try:
        server = _Server(address)
    except OSError as error:
        remedy = "Give an address of this machine and a free port, such as 127.0.0.1:9808"
        raise SettingsError(f"cannot listen ({error})", str(address), remedy) from error
    server.set_app(make_wsgi_app(registry))
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing: a scrape every few seconds is no news."""


class _Server(ThreadingMixIn, WSGIServer):
    """A thread a connection; where there are too many, the oldest is cut off for the newest.

    So idle connections keep nobody out; one that sends or reads a byte at a time is cut off too.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: Address) -> None:
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family = found[0][0]
        #: When each that has not ended began; never for those that were cut off.
        self._began: dict[socket.socket, float] = {}
        self._ended = threading.Condition()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Starts the thread of a connection, once there is room for one."""
        with self._ended:
            if not self._has_room():
                self._cut_off(min(self._began, key=self._began.__getitem__))
            # One that waits for Redis or the log does not end at once, but soon.
            if not self._ended.wait_for(self._has_room, _ROOM_SECONDS):
                self.shutdown_request(request)
                return
            self._began[request] = time.monotonic()
        super().process_request(request, client_address)

    def _has_room(self) -> bool:
        return len(self._began) < MOST_CONNECTIONS

    def shutdown_request(self, request: Any) -> None:
        """Closes a connection: its thread ends with it, or was not started."""
        with self._ended:
            self._began.pop(request, None)
            self._ended.notify_all()
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Cuts off what has lasted too long; called twice a second."""
        latest = time.monotonic() - LONGEST_SECONDS
        with self._ended:
            for request in [request for request, began in self._began.items() if began < latest]:
                self._cut_off(request)

    def _cut_off(self, request: socket.socket) -> None:
        """Ends a connection under its thread, which then closes it; the lock is held."""
        self._began[request] = math.inf
        with suppress(OSError):  # its other side has closed it
            request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Logs that a connection ended in an error, which most often is that it was cut off."""
        log.debug("a connection to the metrics ended in an error", exc_info=True)
