"""Answers Prometheus over HTTP: a worker's own figures, and those of Redis and the decision log.

Redis and the log are read at each scrape. Whoever else connects costs a few threads and files at
most. `moderation queues` needs prometheus-client for this and no other package of a worker, so it
is imported where it is used.
"""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, TypeVar
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from moderation.errors import ModerationError, SettingsError
from moderation.images.fetch.deadline import call_within
from moderation.listen_address import Address, parse_address
from moderation.queue.depth import BrokerState, read_queue_depths
from moderation.settings import Settings

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric
    from prometheus_client.registry import Collector

T = TypeVar("T")

#: Returns how many rows of the decision log are open, by the names of `OPEN`.
OpenCounts = Callable[[], Mapping[str, int]]

log = logging.getLogger(__name__)

#: What is counted in the decision log at each scrape.
OPEN = {
    "quarantine_open": "Requests in quarantine that nobody has released or dropped.",
    "outbox_undelivered": "Webhooks that are neither delivered nor given up.",
}

#: How long Redis or the log may take at a scrape; Prometheus itself gives up after 10 s.
_READ_SECONDS = 3.0

#: Connections at a time. One Prometheus needs one, for milliseconds; each takes a thread.
MOST_CONNECTIONS = 16

#: How long one may last, whatever it does; Prometheus itself gives up after 10 s.
LONGEST_SECONDS = 15.0

#: How long a new one waits for the end of one that was cut off; then it is closed.
_ROOM_SECONDS = 5.0


def queue_metrics_text(state: BrokerState) -> str:
    """Returns the metrics of a state of the queues, as Prometheus reads them.

    Raises:
        SettingsError: prometheus-client is not installed.
    """
    registry = _scraped_registry(QueueCollector(lambda: state))
    from prometheus_client import generate_latest

    return generate_latest(registry).decode()


def serve_queue_metrics(settings: Settings, address: Address) -> AbstractContextManager[int]:
    """Answers scrapes of the queues inside the block; yields the port, which may be chosen for 0.

    Each scrape looks at Redis again. Where Redis does not answer, it says so and gives no figures:
    an autoscaler must not take a broker that is away for an empty queue.

    Raises:
        SettingsError: it cannot listen there; prometheus-client is not installed.
    """
    queues = QueueCollector(partial(read_queue_depths, settings))
    return _metrics_server(_scraped_registry(queues), address)


@contextmanager
def serve_metrics(
    figures: Collector, settings: Settings, open_counts: OpenCounts | None = None
) -> Iterator[int | None]:
    """Answers scrapes of a worker inside the block; yields the port, None without an address.

    Each scrape looks once at Redis and once at the log.

    Args:
        figures: of this worker.
        settings: with the address, and of Redis.
        open_counts: looks into the decision log.

    Raises:
        SettingsError: it cannot listen there.
    """
    if settings.metrics_address is None:
        yield None
        return
    address = parse_address(settings.metrics_address)
    queues = QueueCollector(_scraped_in_time(partial(read_queue_depths, settings)))
    registry = _scraped_registry(figures, queues)
    if open_counts is not None:
        registry.register(LogCollector(_scraped_in_time(open_counts)))
    with _metrics_server(registry, address) as port:
        log.info("Prometheus is answered on http://%s/metrics", address._replace(port=port))
        yield port


def _scraped_in_time(read: Callable[[], T]) -> Callable[[], T]:
    """Returns a read that is given up after a time; one that hangs holds one thread, not more."""
    return partial(call_within, _READ_SECONDS, read, threading.BoundedSemaphore(1))


def _scraped_registry(*collectors: Collector) -> CollectorRegistry:
    """Returns a registry that collects when it is scraped, with no figures of the process's own."""
    try:
        from prometheus_client import CollectorRegistry
    except ImportError as error:
        remedy = "Run `pip install 'evenhand[metrics]'`"
        raise SettingsError("prometheus-client is missing", "this machine", remedy) from error
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return registry


class QueueCollector:
    """Collects the figures of one look at the queues, for the metrics server."""

    def __init__(self, read: Callable[[], BrokerState]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Yields the metrics; if Redis is away, only the one that says so."""
        from prometheus_client.core import GaugeMetricFamily as Gauge

        try:
            state: BrokerState | None = self._read()
        except (ModerationError, TimeoutError):
            state = None
        text = "Whether Redis answered; where it is 0, the other figures are missing."
        yield Gauge("evenhand_redis_up", text, float(state is not None))
        if state is None:
            return
        text = "Requests that no worker has taken."
        depth = Gauge("evenhand_queue_depth", text, labels=["queue"])
        text = "Since the request that is taken next was sent; 0 if none waits, NaN if unknown."
        age = Gauge("evenhand_queue_oldest_age_seconds", text, labels=["queue"])
        for queue in state.queues:
            depth.add_metric([queue.queue], queue.depth)
            known = queue.oldest_age_seconds
            age.add_metric([queue.queue], math.nan if known is None else known)
        yield depth
        yield age
        text = "Requests that workers have taken and not yet answered."
        yield Gauge("evenhand_requests_in_hand", text, state.in_hand)


class LogCollector:
    """Collects what is open in the decision log, for the metrics server."""

    def __init__(self, read: OpenCounts) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Yields the metrics; if the log is away, only the one that says so."""
        from prometheus_client.core import GaugeMetricFamily as Gauge

        counts: Mapping[str, int] | None = None
        try:
            counts = self._read()
        except Exception as error:  # whatever it is, the other figures must still be given
            # Not its text: it may hold the address of the database, with the password.
            log.warning("the decision log could not be read (%s)", type(error).__name__)
        text = "Whether the decision log answered; where it is 0, what is open in it is missing."
        yield Gauge("evenhand_log_up", text, float(counts is not None))
        for name, text in OPEN.items():
            if counts is not None and name in counts:
                yield Gauge(f"evenhand_{name}", text, counts[name])


@contextmanager
def _metrics_server(registry: Collector, address: Address) -> Iterator[int]:
    """Answers scrapes of a registry inside the block; yields the port.

    Raises:
        SettingsError: it cannot listen there.
    """
    from prometheus_client import make_wsgi_app

    try:
        server = _MetricsServer(address)
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


class _MetricsHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing: a scrape every few seconds is not worth a line."""


class _MetricsServer(ThreadingMixIn, WSGIServer):
    """One thread for each connection; if there are too many, the oldest is cut off for the newest.

    So idle connections keep nobody out. One that sends or reads a byte at a time is cut off too.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: Address) -> None:
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family = found[0][0]
        #: When each open connection began; infinity for those that were cut off.
        self._began: dict[socket.socket, float] = {}
        self._ended = threading.Condition()
        super().__init__(address, _MetricsHandler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Starts the thread of a connection to the metrics, once there is room for one."""
        with self._ended:
            if not self._has_room_for_scrape():
                self._cut_off_connection(min(self._began, key=self._began.__getitem__))
            # A connection that waits for Redis or the log does not end at once, but soon.
            if not self._ended.wait_for(self._has_room_for_scrape, _ROOM_SECONDS):
                self.shutdown_request(request)
                return
            self._began[request] = time.monotonic()
        super().process_request(request, client_address)

    def _has_room_for_scrape(self) -> bool:
        return len(self._began) < MOST_CONNECTIONS

    def shutdown_request(self, request: Any) -> None:
        """Closes a connection to the metrics: its thread ends with it, or was not started."""
        with self._ended:
            self._began.pop(request, None)
            self._ended.notify_all()
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Cuts off connections to the metrics that last too long; called twice a second."""
        latest = time.monotonic() - LONGEST_SECONDS
        with self._ended:
            for request in [request for request, began in self._began.items() if began < latest]:
                self._cut_off_connection(request)

    def _cut_off_connection(self, request: socket.socket) -> None:
        """Ends a connection under its thread, which then closes it; the lock is held."""
        self._began[request] = math.inf
        with suppress(OSError):  # its other side has closed it
            request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Logs that a connection ended in an error: most often, it was cut off."""
        log.debug("a connection to the metrics ended in an error", exc_info=True)
