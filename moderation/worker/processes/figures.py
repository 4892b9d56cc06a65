"""The figures of a worker of several processes, as its supervisor answers Prometheus with them.

Each process counts in files of its own (prometheus-client's multiprocess mode), which its successor
goes on with: so a death costs no count, and files do not pile up.
"""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from moderation.worker.processes.orders import Kind


class ProcessFigures:
    """What all processes of a worker count together, and which of them there are."""

    def __init__(self, folder: Path) -> None:
        """Adds up what processes write into a folder."""
        self.registry = CollectorRegistry()
        self._folder = str(folder)
        MultiProcessCollector(self.registry, path=self._folder)  # type: ignore[no-untyped-call]
        text = "Processes of this worker that are ready."
        self._ready = Gauge("evenhand_processes", text, ["kind"], registry=self.registry)
        text = "Processes of this worker that ended and were started again."
        self._restarts = Counter(
            "evenhand_process_restarts", text, ["kind"], registry=self.registry
        )
        for kind in get_args(Kind):
            self._ready.labels(kind)
            self._restarts.labels(kind)

    def ready(self, kind: Kind, count: int) -> None:
        """Notes how many processes of a kind are ready."""
        self._ready.labels(kind).set(count)

    def restarted(self, kind: Kind) -> None:
        """Counts that a process was started again."""
        self._restarts.labels(kind).inc()

    def ended(self, number: int) -> None:
        """Forgets what the process of that number has in hand, and keeps what it counted."""
        mark_process_dead(number, self._folder)  # type: ignore[no-untyped-call]
