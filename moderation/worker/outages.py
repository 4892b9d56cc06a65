"""What a worker does while a part that it cannot answer without is away: it waits."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from moderation.errors import LogError, LogUnavailable, ModerationError, RenditionsUnavailable

log = logging.getLogger(__name__)
T = TypeVar("T")

#: The decision log, or the folder of renditions, cannot be used: an operator mends it, and until
#: then nothing is answered.
AWAY = (LogUnavailable, LogError, RenditionsUnavailable)

#: Pauses between two tries to reach it, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0

_LOG, _FOLDER = "the decision log", "the folder of renditions"


class Outages:
    """Waits for a part that is away, in many threads, and logs when that begins and ends."""

    def __init__(self, seconds: float, stopping: Callable[[], bool]) -> None:
        """Knows of no outage yet.

        Args:
            seconds: how long one thread waits, at most.
            stopping: whether the worker has been told to end; then nothing is waited for.
        """
        self._seconds = seconds
        self._stopping = stopping
        self._away: set[str] = set()

    def of_log(self, ask: Callable[[], T]) -> T:
        """Returns what the decision log answers; waits for a database that is down.

        As it waits here, and not in the queue, the worker takes no more requests than it can hold.

        Raises:
            LogUnavailable, LogError: it stayed away too long, or the worker is to end.
        """
        return self._waited(_LOG, ask)

    def of_folder(self, ask: Callable[[], T]) -> T:
        """Returns what the folder of renditions answers, as `of_log`.

        Raises:
            RenditionsUnavailable: it stayed away too long, or the worker is to end.
        """
        return self._waited(_FOLDER, ask)

    def _waited(self, part: str, ask: Callable[[], T]) -> T:
        deadline = time.monotonic() + self._seconds
        pause = _FIRST_PAUSE
        while True:
            try:
                answer = ask()
            except AWAY as error:
                self._note(part, away=error)
                if self._stopping() or time.monotonic() + pause > deadline:
                    raise
            else:
                self._note(part, away=None)
                return answer
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _note(self, part: str, *, away: ModerationError | None) -> None:
        """Logs a line when answers begin to wait for a part, and when they go on."""
        if away is not None and part not in self._away:
            self._away.add(part)
            log.error("requests wait for %s: %s", part, away)
        if away is None and part in self._away:
            self._away.discard(part)
            log.warning("%s answers again", part)
