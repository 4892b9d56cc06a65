"""Keeps a log readable while Redis or the database is away: one line every few seconds."""

from __future__ import annotations

import logging
import threading
import time

import redis
from billiard.exceptions import RestartFreqExceeded
from kombu.exceptions import OperationalError

#: Between two lines of one kind, in seconds.
_PAUSE_SECONDS = 5.0

#: What fails because Redis is away, full or refuses.
_TROUBLE = (
    redis.RedisError,
    OperationalError,
    ConnectionError,
    TimeoutError,
    RestartFreqExceeded,
)

#: How such an error looks in a traceback.
_RAISED = "\nredis.exceptions."

#: The loggers that speak of it, each with those below it.
TALKERS = (
    "celery.backends",
    "celery.worker",
    "celery.utils",
    "kombu",
    "moderation.queue",
    "moderation.worker.celery_worker",
    "moderation.worker.custody",
    "moderation.worker.intake",
    "moderation.worker.periodic_threads",
    "moderation.worker.replies",
)


class OutageFilter(logging.Filter):
    """Lets one line of a kind pass every few seconds, and any other line as it is."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._last: dict[tuple[str, str], float] = {}
        self._left_out: dict[tuple[str, str], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Returns whether to print a record, without the traceback of a known outage."""
        error = record.exc_info[1] if record.exc_info else None
        known = isinstance(error, _TROUBLE)
        if known:
            record.msg, record.args = f"{record.getMessage().strip()} ({error})", ()
            record.exc_info, record.exc_text = None, None
        elif record.name == "py.warnings" and _RAISED in (text := record.getMessage()):
            # Celery prints the traceback of what it could not write as a warning.
            record.msg, record.args, known = text.partition("\n")[0], (), True
        if record.levelno < logging.WARNING or not (known or record.name.startswith(TALKERS)):
            return True
        return self._is_line_due(record)

    def _is_line_due(self, record: logging.LogRecord) -> bool:
        """Whether no line of this outage was printed just now."""
        # Known by its place in the code, since the text differs in numbers.
        kind = (record.name, f"{record.funcName}:{record.lineno}")
        now = time.monotonic()
        with self._lock:
            last = self._last.get(kind)
            if last is not None and now - last < _PAUSE_SECONDS:
                self._left_out[kind] = self._left_out.get(kind, 0) + 1
                return False
            self._last[kind] = now
            left_out = self._left_out.pop(kind, 0)
        if left_out:
            record.msg = f"{record.getMessage().strip()} (and {left_out} more like it)"
            record.args = ()
        return True
