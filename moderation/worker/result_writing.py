"""How a worker writes results: patiently, until it is told to stop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from celery.worker import state

from moderation.queue.celery_app import PolledRedisBackend

#: How long a pause goes on after the worker was told to stop, in seconds.
_STEP_SECONDS = 0.2


def is_stopping() -> bool:
    """Whether Celery's worker of this process was told to stop."""
    return state.should_stop is not None or state.should_terminate is not None


class PatientBackend(PolledRedisBackend):
    """Writes a result again and again while Redis is away.

    A worker that is to stop gives up instead: a result that is not written leaves its request
    unacknowledged, so another worker answers it.
    """

    def exception_safe_to_retry(self, error: Exception) -> bool:
        """Whether to write a result again."""
        return not is_stopping() and super().exception_safe_to_retry(error)

    def on_connection_error(
        self, max_retries: int, exc: Exception, intervals: Iterator[float], retries: int
    ) -> Any:
        """Returns how long to wait before the next try."""
        if is_stopping():
            raise exc
        return super().on_connection_error(max_retries, exc, intervals, retries)

    def _sleep(self, amount: float) -> None:
        """Waits, but not for long once the worker is to stop."""
        until = time.monotonic() + amount
        while not is_stopping() and (left := until - time.monotonic()) > 0:
            time.sleep(min(_STEP_SECONDS, left))
