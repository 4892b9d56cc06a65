"""Removes what the decision log need not keep any longer, once an hour, beside a worker."""

from __future__ import annotations

import logging
import random
import threading
from typing import Self

from moderation.decision_log.log import DecisionLog
from moderation.decision_log.retention import purge
from moderation.errors import ModerationError
from moderation.settings import Settings

log = logging.getLogger(__name__)

_HOUR = 3600.0


class Housekeeping:
    """A thread that purges the log for as long as its block lasts; none where all is kept."""

    def __init__(
        self, decisions: DecisionLog, settings: Settings, *, every_seconds: float = _HOUR
    ) -> None:
        """Prepares the thread.

        Args:
            decisions: the log.
            settings: with how many days it keeps.
            every_seconds: the pause, about; workers that start together do not purge together.
        """
        self._decisions = decisions
        self._days = settings.retention_days
        self._every = every_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def _run(self) -> None:
        while self._days is not None and not self._stop.wait(self._every * random.uniform(0.5, 1)):
            try:
                gone = purge(self._decisions.database, self._days)
            except ModerationError as error:
                log.warning("nothing was purged: %s", error)
            except Exception:
                log.exception("the purge failed")
            else:
                if any(gone):
                    log.info("purged what is older than %s days: %s", self._days, gone._asdict())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        # A purge in the middle is of no use to anybody by now, and each of its steps is whole.
        self._thread.join(timeout=5)
