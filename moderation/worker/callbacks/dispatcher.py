"""Sends what lies in the outbox, in threads of the worker, until it is closed.

One thread does everything with the database and the breakers, another all POSTs; callbacks go one
way and attempts come back. So neither a receiver nor a database that hangs stops the other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from queue import Empty, SimpleQueue
from typing import Self

from moderation.decision_log import outbox
from moderation.decision_log.database import Database
from moderation.decision_log.outbox import Callback
from moderation.errors import ModerationError
from moderation.settings import Settings
from moderation.worker.callbacks.breaker import Breaker
from moderation.worker.callbacks.delivery import DeliveryThread, Reply
from moderation.worker.callbacks.receivers import read_receivers, receiver_host
from moderation.worker.callbacks.schedule import Timing, wait_before_next
from moderation.worker.callbacks.signer import Signer
from moderation.worker.metrics import WebhookResult, Webhooks

log = logging.getLogger(__name__)

Clock = Callable[[], datetime]
#: A callback that was tried, and the receiver's reply; None if the try was cut off.
Attempt = tuple[Callback, Reply | None]

#: What closing may take beyond the grace, to write what is known, in seconds.
_CLOSE_SECONDS = 4.0


def make_dispatcher(
    settings: Settings, database: Database, webhooks: Webhooks
) -> AbstractContextManager[object]:
    """Returns the dispatcher, or a context that does nothing if there is nobody to send to.

    Raises:
        SettingsError: a URL or a secret cannot be used, or there is no secret.
    """
    if not settings.callback_urls:
        return nullcontext()
    return CallbackDispatcher(database, settings, webhooks)


@dataclass
class _ReceiverHost:
    breaker: Breaker
    urls: list[str] = field(default_factory=list)
    in_flight: int = 0


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
        webhooks: Webhooks,
        *,
        timing: Timing | None = None,
        clock: Clock = lambda: datetime.now(UTC),
    ) -> None:
        """Parses URLs and secrets, and starts nothing yet.

        Raises:
            SettingsError: one of them cannot be used, or there is no secret.
        """
        self._database = database
        self._webhooks = webhooks
        self._timing = timing or Timing()
        self._clock = clock
        self._seconds = settings.callback_timeout_seconds
        receivers = read_receivers(settings)
        self._hosts: dict[str, _ReceiverHost] = {}
        failures, pause = self._timing.breaker_failures, self._timing.breaker_pause
        for receiver in receivers:
            breaker = Breaker(time.monotonic, failures=failures, pause=pause)
            host = self._hosts.setdefault(receiver.host, _ReceiverHost(breaker))
            host.urls.append(receiver.url)
        self._attempts: SimpleQueue[Attempt | None] = SimpleQueue()
        self._unwritten: deque[Attempt] = deque()
        self.outages = 0
        self._stopping = threading.Event()
        self._signer = Signer(settings)
        for name in sorted({one.host for one in receivers if one.is_overheard}):
            log.warning("callbacks to %s go over http: whoever is between can read them", name)
        self._thread = threading.Thread(
            target=self._dispatch_until_closed, name="callbacks", daemon=True
        )

    def __enter__(self) -> Self:
        self._sender = DeliveryThread(self._signer, self._seconds, self._clock, self._take_attempt)
        self._sender.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Lets POSTs under way end within the grace; leaves the rest for the next dispatcher."""
        self._stopping.set()
        self._attempts.put(None)
        self._thread.join(self._timing.grace + _CLOSE_SECONDS)
        if self._thread.is_alive():
            log.warning("callbacks: the database hangs; what is in hand is left for later")

    def _take_attempt(self, callback: Callback, reply: Reply | None) -> None:
        """Hands an attempt of the delivery thread to that of the dispatcher."""
        self._attempts.put((callback, reply))

    def _dispatch_until_closed(self) -> None:
        while not self._stopping.is_set():
            try:
                self._write_dispatched()
                self._dispatch_due()
                pause = self._after_dispatch()
            except Exception as error:  # there is no other such thread, so it must go on
                pause = self._after_failed_dispatch(error)
            self._wait_for_attempts(pause)
        self._finish_dispatching()

    def _after_dispatch(self) -> float:
        """Returns the pause before the next dispatch."""
        if self.outages:
            log.warning("callbacks go on: the database answers again")
        self.outages = 0
        return self._timing.poll

    def _after_failed_dispatch(self, error: Exception) -> float:
        """Logs one line for an outage, and returns the pause before the next dispatch."""
        if not isinstance(error, ModerationError):
            log.exception("callbacks: a fault of the program; trying again")
        elif not self.outages:
            log.error("callbacks wait: %s", error)
        self.outages += 1
        longest = self._timing.longest_outage_pause
        return min(longest, self._timing.poll * 2.0 ** min(self.outages - 1, 16))

    def _wait_for_attempts(self, seconds: float) -> None:
        """Waits up to `seconds` for the dispatcher's next attempt; notes all that have come."""
        with suppress(Empty):
            self._note_dispatched(self._attempts.get(timeout=seconds))
            while True:
                self._note_dispatched(self._attempts.get_nowait())

    def _note_dispatched(self, attempt: Attempt | None) -> None:
        if attempt is None:  # it only ends the wait
            return
        self._unwritten.append(attempt)
        callback, reply = attempt
        host = receiver_host(callback.endpoint)
        breaker = self._hosts[host].breaker
        if reply is None:
            return
        if not reply.host_serves and breaker.failed():
            pause, reason = self._timing.breaker_pause, reply.error
            log.warning("callbacks to %s pause for %g s at a time: %s", host, pause, reason)
        if reply.host_serves and breaker.succeeded():
            log.info("callbacks to %s go on", host)

    def _dispatch_due(self) -> None:
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

    def _write_dispatched(self) -> None:
        """Writes what became of dispatched callbacks; an attempt is kept until it is written.

        Only one whose claim has passed is let go: its row is sent again.
        """
        while self._unwritten:
            callback, reply = self._unwritten[0]
            host, written = receiver_host(callback.endpoint), False
            try:
                result = self._write_one_dispatched(callback, host, reply)
                written = True
            finally:
                if written or (callback.claimed_until or self._clock()) < self._clock():
                    self._unwritten.popleft()
                    self._hosts[host].in_flight -= 1
            if result is not None:
                self._webhooks.tried(host, result)

    def _write_one_dispatched(
        self, callback: Callback, host: str, reply: Reply | None
    ) -> WebhookResult | None:
        """Writes one attempt; returns how it ended, None if it was cut off."""
        now, about = self._clock(), {"request_id": callback.request_id}
        if reply is None:
            outbox.release(self._database, callback)
            return None
        if reply.accepted:
            outbox.mark_delivered(self._database, callback, now=now)
            log.info("callback %s to %s arrived", callback.id, host, extra=about)
            return "delivered"
        wait = wait_before_next(callback.attempts + 1, reply.retry_after, self._timing.backoff)
        shown = (callback.id, host)
        if wait is None or reply.is_final:
            outbox.give_up(self._database, callback, now=now, error=reply.error)
            log.error("callback %s to %s is given up: %s", *shown, reply.error, extra=about)
            return "failed"
        outbox.postpone(self._database, callback, until=now + wait, error=reply.error)
        again = (wait.total_seconds(), reply.error)
        log.warning("callback %s to %s failed, again in %.0f s: %s", *shown, *again, extra=about)
        return "retried"

    def _finish_dispatching(self) -> None:
        """Waits for what is under way, cuts off what takes too long, and writes what is known."""
        deadline = time.monotonic() + self._timing.grace
        while self._is_dispatch_under_way() and (left := deadline - time.monotonic()) > 0:
            self._wait_for_attempts(left)
        self._sender.stop()
        self._wait_for_attempts(0)
        try:
            self._write_dispatched()
        except Exception as error:
            self._after_failed_dispatch(error)

    def _is_dispatch_under_way(self) -> bool:
        return sum(host.in_flight for host in self._hosts.values()) > len(self._unwritten)
