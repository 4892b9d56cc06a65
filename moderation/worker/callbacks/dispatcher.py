"""Sends what lies in the outbox, in threads of the worker, until it is closed.

One thread does all that touches the database and the breakers, another all POSTs; between them go
callbacks and outcomes. So neither a receiver nor a database that hangs stops the other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from queue import Empty, SimpleQueue
from typing import Self

from moderation.decision_log import outbox
from moderation.decision_log.database import Database
from moderation.decision_log.outbox import Callback
from moderation.errors import ModerationError
from moderation.settings import Settings
from moderation.worker.callbacks.breaker import Breaker
from moderation.worker.callbacks.delivery import Answer
from moderation.worker.callbacks.receivers import by_host, host_of, read_receivers
from moderation.worker.callbacks.reports import DeliveryReports, NoReports
from moderation.worker.callbacks.schedule import Timing, wait_before_next
from moderation.worker.callbacks.sender import Sender
from moderation.worker.callbacks.signing import Signer

log = logging.getLogger(__name__)

Clock = Callable[[], datetime]
Outcome = tuple[Callback, Answer | None]

#: Beyond the grace, for the last words to the database.
_CLOSE_SECONDS = 4.0


def make_dispatcher(
    settings: Settings, database: Database, reports: DeliveryReports | None = None
) -> AbstractContextManager[object]:
    """Returns the dispatcher, or a context that does nothing where there is nobody to send to.

    Raises:
        SettingsError: a URL or a secret cannot be used, or there is no secret.
    """
    if not settings.callback_urls:
        return nullcontext()
    return CallbackDispatcher(database, settings, reports)


@dataclass
class _Host:
    urls: tuple[str, ...]
    breaker: Breaker
    in_flight: int = 0


def _now() -> datetime:
    return datetime.now(UTC)


class CallbackDispatcher:
    """A context manager; inside it due rows of the outbox are sent.

    Rows of a URL that is no longer in the settings stay where they are.

    Attributes:
        outages: how often in a row the database did not answer.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        reports: DeliveryReports | None = None,
        *,
        timing: Timing | None = None,
        clock: Clock = _now,
    ) -> None:
        """Parses URLs and secrets; starts nothing yet.

        Raises:
            SettingsError: one of them cannot be used, or there is no secret.
        """
        self._database = database
        self._reports = reports or NoReports()
        self._timing = timing or Timing()
        self._clock = clock
        self._seconds = settings.callback_timeout_seconds
        receivers = read_receivers(settings)
        self._hosts = {
            host: _Host(urls, self._breaker()) for host, urls in by_host(receivers).items()
        }
        self._outcomes: SimpleQueue[Outcome | None] = SimpleQueue()
        self._unwritten: deque[Outcome] = deque()
        self.outages = 0
        self._stopping = threading.Event()
        self._signer = Signer(settings)
        for host in sorted({one.host for one in receivers if one.is_overheard}):
            log.warning("callbacks to %s go over http: whoever is between can read them", host)
        self._thread = threading.Thread(target=self._run, name="callbacks", daemon=True)

    def _breaker(self) -> Breaker:
        timing = self._timing
        return Breaker(time.monotonic, failures=timing.breaker_failures, pause=timing.breaker_pause)

    def __enter__(self) -> Self:
        self._sender = Sender(self._signer, self._seconds, self._clock, self._hand_over)
        self._sender.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Lets POSTs under way end within the grace; leaves the rest for the next dispatcher."""
        self._stopping.set()
        self._outcomes.put(None)
        self._thread.join(self._timing.grace + _CLOSE_SECONDS)
        if self._thread.is_alive():
            log.warning("callbacks: the database hangs; what is in hand is left for later")

    def _hand_over(self, callback: Callback, answer: Answer | None) -> None:
        """Takes an outcome from the sender's thread."""
        self._outcomes.put((callback, answer))

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._write_outcomes()
                self._send_due()
                pause = self._well()
            except Exception as error:  # this thread is the only one; it must not die
                pause = self._unwell(error)
            self._wait(pause)
        self._finish()

    def _well(self) -> float:
        """Returns the pause before the next look."""
        if self.outages:
            log.warning("callbacks go on: the database answers again")
        self.outages = 0
        return self._timing.poll

    def _unwell(self, error: Exception) -> float:
        """Logs one line for an outage, and returns the pause before the next look."""
        if not isinstance(error, ModerationError):
            log.exception("callbacks: a fault of the program; trying again")
        elif not self.outages:
            log.error("callbacks wait: %s", error)
        self.outages += 1
        longest = self._timing.longest_outage_pause
        return min(longest, self._timing.poll * 2.0 ** min(self.outages - 1, 16))

    def _wait(self, seconds: float) -> None:
        """Waits for an outcome, or for so long; keeps what came."""
        with suppress(Empty):
            self._keep(self._outcomes.get(timeout=seconds))
            while True:
                self._keep(self._outcomes.get_nowait())

    def _keep(self, outcome: Outcome | None) -> None:
        if outcome is None:  # it only ends the wait
            return
        callback, answer = outcome
        self._unwritten.append(outcome)
        self._tell_breaker(host_of(callback.endpoint), answer)

    def _tell_breaker(self, host: str, answer: Answer | None) -> None:
        breaker = self._hosts[host].breaker
        if answer is None:
            return
        if not answer.host_serves and breaker.failed():
            pause, reason = self._timing.breaker_pause, answer.error
            log.warning("callbacks to %s pause for %g s at a time: %s", host, pause, reason)
        if answer.host_serves and breaker.succeeded():
            log.info("callbacks to %s go on", host)

    def _send_due(self) -> None:
        """Claims rows for each host that has room, and sends them."""
        for host in self._hosts.values():
            room = host.breaker.room(host.in_flight, self._timing.per_host)
            if not room:
                continue
            now = self._clock()
            until = now + timedelta(seconds=self._seconds + self._timing.claim_beyond)
            for callback in outbox.claim(self._database, host.urls, room, now=now, until=until):
                host.in_flight += 1
                self._sender.send(callback)

    def _write_outcomes(self) -> None:
        """Writes what became of callbacks; an outcome stays until it is written.

        Only one whose claim has passed is let go: its row is sent again.
        """
        while self._unwritten:
            callback, answer = self._unwritten[0]
            written = False
            try:
                told = self._write(callback, answer)
                written = True
            finally:
                if written or (callback.claimed_until or self._clock()) < self._clock():
                    self._unwritten.popleft()
                    self._hosts[host_of(callback.endpoint)].in_flight -= 1
            if told is not None:
                told(host_of(callback.endpoint))

    def _write(self, callback: Callback, answer: Answer | None) -> Callable[[str], None] | None:
        """Writes one outcome; returns whom to tell."""
        now, about = self._clock(), {"request_id": callback.request_id}
        shown = (callback.id, host_of(callback.endpoint))
        if answer is None:
            outbox.release(self._database, callback)
            return None
        if answer.accepted:
            outbox.mark_delivered(self._database, callback, now=now)
            log.info("callback %s to %s arrived", *shown, extra=about)
            return self._reports.delivered
        tries, error = callback.attempts + 1, answer.error
        wait = wait_before_next(tries, answer.retry_after, self._timing.backoff)
        if wait is None or answer.is_final:
            outbox.give_up(self._database, callback, now=now, error=error)
            log.error("callback %s to %s is given up: %s", *shown, error, extra=about)
            return self._reports.failed
        outbox.postpone(self._database, callback, until=now + wait, error=error)
        seconds = wait.total_seconds()
        log.warning(
            "callback %s to %s failed, again in %.0f s: %s", *shown, seconds, error, extra=about
        )
        return self._reports.retried

    def _finish(self) -> None:
        """Waits for what is under way, cuts off what takes too long, and writes what is known."""
        deadline = time.monotonic() + self._timing.grace
        while self._under_way() and (left := deadline - time.monotonic()) > 0:
            self._wait(left)
        self._sender.stop()
        self._wait(0)
        try:
            self._write_outcomes()
        except Exception as error:
            self._unwell(error)

    def _under_way(self) -> bool:
        return sum(host.in_flight for host in self._hosts.values()) > len(self._unwritten)
