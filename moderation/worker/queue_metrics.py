"""What `queues` reads, in the text format of Prometheus: once, or over HTTP at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import nan
from typing import TYPE_CHECKING

from moderation.errors import ModerationError, SettingsError
from moderation.listen_address import Address
from moderation.queue.depth import BrokerState, read_queues
from moderation.settings import Settings
from moderation.worker.metrics_server import answering

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric


def exposition(state: BrokerState) -> str:
    """Returns a state as Prometheus reads it.

    Raises:
        SettingsError: prometheus-client is not installed.
    """
    registry = _registry(lambda: state)
    from prometheus_client import generate_latest

    return generate_latest(registry).decode()


@contextmanager
def exporter(settings: Settings, host: str, port: int) -> Iterator[int]:
    """Answers scrapes inside the block; yields the port, which the system chooses where 0 is given.

    Each scrape looks at Redis anew. Where Redis does not answer, it says so and gives no figures:
    an autoscaler must not take a broker that is away for an empty queue.

    Raises:
        SettingsError: it cannot listen there; prometheus-client is not installed.
    """
    with answering(_registry(lambda: read_queues(settings)), Address(host, port)) as listening:
        yield listening


def _registry(read: Callable[[], BrokerState]) -> CollectorRegistry:
    """Returns a registry that reads when it is scraped, with none of the process's own figures."""
    try:
        from prometheus_client import CollectorRegistry
    except ImportError as error:
        remedy = "Run `pip install 'evenhand[metrics]'`"
        raise SettingsError("prometheus-client is missing", "this machine", remedy) from error
    registry = CollectorRegistry()
    registry.register(QueueCollector(read))
    return registry


class QueueCollector:
    """Collects the figures of one look at the queues, for a registry."""

    def __init__(self, read: Callable[[], BrokerState]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Yields the metrics; only that Redis is away, where it is."""
        from prometheus_client.core import GaugeMetricFamily

        try:
            state: BrokerState | None = self._read()
        except (ModerationError, TimeoutError):
            state = None
        told = "Whether Redis answered; where it is 0, the other figures are missing."
        yield GaugeMetricFamily("evenhand_redis_up", told, float(state is not None))
        if state is None:
            return
        depth = GaugeMetricFamily(
            "evenhand_queue_depth", "Requests that no worker has taken.", labels=["queue"]
        )
        age = GaugeMetricFamily(
            "evenhand_queue_oldest_age_seconds",
            "Since the request that is taken next was sent; 0 if none waits, NaN if unknown.",
            labels=["queue"],
        )
        for queue in state.queues:
            depth.add_metric([queue.queue], queue.depth)
            known = queue.oldest_age_seconds
            age.add_metric([queue.queue], nan if known is None else known)
        yield depth
        yield age
        told = "Requests that workers have taken and not yet answered."
        yield GaugeMetricFamily("evenhand_requests_in_hand", told, state.in_hand)
