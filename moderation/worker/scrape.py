"""Answers Prometheus in a worker: its own figures, and at each scrape those of Redis and log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily

from moderation.images.fetch.patience import Patient
from moderation.listen_address import parse_address
from moderation.queue.depth import read_queues
from moderation.settings import Settings
from moderation.worker.metrics import Metrics
from moderation.worker.metrics_server import answering
from moderation.worker.queue_metrics import QueueCollector

#: Returns how many rows of the decision log are open, by the names of `OPEN`.
OpenCounts = Callable[[], Mapping[str, int]]

log = logging.getLogger(__name__)

#: What is counted in the decision log at each scrape.
OPEN = {
    "quarantine_open": "Requests in quarantine that nobody has released or dropped.",
    "outbox_undelivered": "Webhooks that are neither delivered nor given up.",
}

#: How long Redis or the log may take at a scrape; Prometheus itself gives up after 10 s.
_SECONDS = 3.0


@contextmanager
def serve_metrics(
    metrics: Metrics, settings: Settings, open_counts: OpenCounts | None = None
) -> Iterator[int | None]:
    """Answers scrapes inside the block; yields the port, None where no address is set.

    Args:
        metrics: of this worker.
        settings: with the address, and of Redis.
        open_counts: looks into the decision log; asked at each scrape.

    Raises:
        SettingsError: it cannot listen there.
    """
    if settings.metrics_address is None:
        yield None
        return
    address = parse_address(settings.metrics_address)
    with answering(_registry(metrics, settings, open_counts), address) as port:
        log.info("Prometheus is answered on http://%s/metrics", address._replace(port=port))
        yield port


def _registry(
    metrics: Metrics, settings: Settings, open_counts: OpenCounts | None
) -> CollectorRegistry:
    """Returns a registry of all figures; each scrape looks once at Redis and once at the log."""
    registry = CollectorRegistry()
    registry.register(metrics.registry)
    registry.register(QueueCollector(Patient(lambda: read_queues(settings), _SECONDS)))
    if open_counts is not None:
        registry.register(LogCollector(Patient(open_counts, _SECONDS)))
    return registry


class LogCollector:
    """Collects what is open in the decision log, for a registry."""

    def __init__(self, read: OpenCounts) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Yields the metrics; only that the log is away, where it is."""
        counts: Mapping[str, int] | None = None
        try:
            counts = self._read()
        except Exception as error:  # whatever it is, the other figures must be told
            # Not its text: it may hold the address of the database, with the password.
            log.warning("the decision log could not be read (%s)", type(error).__name__)
        told = "Whether the decision log answered; where it is 0, what is open in it is missing."
        yield GaugeMetricFamily("evenhand_log_up", told, float(counts is not None))
        for name, told in OPEN.items():
            if counts is not None and name in counts:
                yield GaugeMetricFamily(f"evenhand_{name}", told, counts[name])
