"""What a worker does beside answering, again and again, each in a thread of its own."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Self

from moderation.decision_log.database import Database
from moderation.decision_log.retention import purge
from moderation.errors import ModerationError

log = logging.getLogger(__name__)

_HOUR = 3600.0


class PeriodicThread:
    """A thread that works, pauses and works again for as long as its block lasts."""

    def __init__(
        self, name: str, work: Callable[[], object], pause: Callable[[], float], *, at_once: bool
    ) -> None:
        """Prepares the thread.

        Args:
            name: of the thread.
            work: is called each time; when it raises, that is logged and costs no later time.
            pause: gives the seconds before the next time.
            at_once: whether to work when the block begins, or only after a first pause.
        """
        self._name = name
        self._work = work
        self._pause = pause
        self._at_once = at_once
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work_periodically, name=name, daemon=True)

    def _work_periodically(self) -> None:
        while self._at_once or not self._stop.wait(self._pause()):
            self._at_once = False
            try:
                self._work()
            except Exception:
                log.exception("%s failed", self._name)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        # Work that is not finished can be abandoned: each of its steps is whole.
        self._thread.join(timeout=5)


def periodic_purge(
    database: Database, days: int | None, *, every_seconds: float = _HOUR
) -> AbstractContextManager[object]:
    """Returns a thread that purges the decision log inside its block; nothing if all is kept.

    Args:
        database: of the log.
        days: how long the log keeps what is final.
        every_seconds: the pause, about; workers that start together do not purge together.
    """
    if days is None:
        return nullcontext()

    def purge_and_log() -> None:
        try:
            gone = purge(database, days)
        except ModerationError as error:
            log.warning("nothing was purged: %s", error)
        else:
            if any(gone):
                log.info("purged what is older than %s days: %s", days, gone._asdict())

    pause = partial(random.uniform, every_seconds / 2, every_seconds)
    return PeriodicThread("housekeeping", purge_and_log, pause, at_once=False)
