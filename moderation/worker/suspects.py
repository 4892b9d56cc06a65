"""Requests that workers died with, which are tried one at a time."""

from __future__ import annotations

import threading
from collections import deque

from moderation.worker.job import Job

#: A request that this many workers died with is suspicious. When a worker dies, all that it had in
#: hand is suspected, so the first death says little.
_SUSPICIOUS = 2


class Suspects:
    """Which suspicious request is tried now, and which wait for it to end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tried: Job | None = None
        self._waiting: deque[Job] = deque()

    def must_wait(self, job: Job) -> bool:
        """Returns whether a job waits for another suspect; if not, and it is one, it is tried."""
        if job.deaths < _SUSPICIOUS:
            return False
        with self._lock:
            if self._tried is None:
                self._tried = job
                return False
            self._waiting.append(job)
            return True

    def ended(self, job: Job) -> Job | None:
        """Notes that a job has ended; returns the suspect whose turn it is then."""
        with self._lock:
            if self._tried is not job:
                return None
            self._tried = self._waiting.popleft() if self._waiting else None
            return self._tried

    def give_up(self) -> list[Job]:
        """Returns the suspects that wait, which are not tried here any more."""
        with self._lock:
            waiting = list(self._waiting)
            self._waiting.clear()
            return waiting
