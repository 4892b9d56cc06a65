"""A stage of a worker: threads that take what waits for them, together, and work on it as a batch.

Requests gather while a stage works on others. So a batch is whatever waits when the stage is free,
and a lone request waits for nobody.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from moderation.messages.queues import FairQueue, QueueName

T = TypeVar("T")

log = logging.getLogger(__name__)


class Stage(Generic[T]):
    """What waits for one step, interactive before bulk, and the threads that do it."""

    def __init__(
        self, name: str, work: Callable[[list[T]], None], *, threads: int = 1, most: int = 1
    ) -> None:
        """Starts a stage.

        Args:
            name: of its threads.
            work: is given a batch; what it raises is logged, so it deals with failures itself.
            threads: how many batches are worked on at the same time, at most; all threads but
                one are started when they are first needed.
            most: how many items are in one batch, at most.
        """
        self._work = work
        self._most = most
        self._waiting: FairQueue[T] = FairQueue()
        self._changed = threading.Condition()
        self._closed = False
        self._names = [f"{name}-{n}" for n in range(threads)] if threads > 1 else [name]
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._start_thread()  # so that there always is one, whatever the machine has left later

    def put(self, items: Iterable[tuple[T, QueueName]]) -> None:
        """Adds items, each with the queue that it came by, to what waits for the stage."""
        with self._changed:
            count = 0
            for item, queue in items:
                self._waiting.put(item, queue)
                count += 1
            self._changed.notify(math.ceil(count / self._most))
            wanted = math.ceil(len(self._waiting) / self._most) - self._idle
            for _ in range(min(wanted, len(self._names) - len(self._threads))):
                self._start_thread()

    def _start_thread(self) -> None:
        name = self._names[len(self._threads)]
        thread = threading.Thread(target=self._run, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the machine has none left
            if not self._threads:
                raise
            log.warning("%s does not start; others do its work", name)
            return
        self._threads.append(thread)

    def close(self) -> None:
        """Works on all that waits for the stage, then ends its threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while batch := self._next_batch():
            try:
                self._work(batch)
            except Exception:
                log.exception("a batch of %s could not be finished", len(batch))
            del batch  # not held while this thread waits

    def _next_batch(self) -> list[T]:
        """Returns at least one item, or none once the stage is closed and empty."""
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: self._waiting or self._closed)
            self._idle -= 1
            return [self._waiting.take() for _ in range(min(len(self._waiting), self._most))]
