"""Runs Celery's worker until it is told to stop, and again after Redis was lost."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import redis
from celery import Celery
from celery.apps.worker import Worker
from celery.exceptions import CPendingDeprecationWarning
from celery.worker import state

from moderation.queue.celery_app import PolledRedisBackend, result_backend
from moderation.queue.guarded_transport import OnPoison, guard_app
from moderation.settings import Settings
from moderation.worker.outage_filter import OutageFilter

log = logging.getLogger(__name__)

#: Pause before Celery's worker is started again.
_RESTART_SECONDS = 2.0
#: How long a pause goes on after the worker was told to stop, in seconds.
_STEP_SECONDS = 0.1
#: Exit code of a process that Ctrl-C ended.
_INTERRUPTED = 130


def is_stopping() -> bool:
    """Whether Celery's worker of this process was told to stop."""
    return state.should_stop is not None or state.should_terminate is not None


def pause_celery_worker(seconds: float) -> None:
    """Waits for `seconds`, or until the worker is told to stop."""
    until = time.monotonic() + seconds
    while not is_stopping() and (left := until - time.monotonic()) > 0:
        time.sleep(min(_STEP_SECONDS, left))


class PatientBackend(PolledRedisBackend):
    """Writes a result again and again while Redis is away.

    A worker that is to stop gives up instead: a result that is not written leaves its request
    unacknowledged, so another worker answers it.
    """

    def exception_safe_to_retry(self, error: Exception) -> bool:
        """Whether to write a result again: not once Celery's worker is to stop."""
        return not is_stopping() and super().exception_safe_to_retry(error)

    def on_connection_error(
        self, max_retries: int, exc: Exception, intervals: Iterator[float], retries: int
    ) -> Any:
        """Returns how long to wait before the next try; raises once Celery's worker is to stop."""
        if is_stopping():
            raise exc
        return super().on_connection_error(max_retries, exc, intervals, retries)

    def _sleep(self, amount: float) -> None:
        """Waits, but not for long once Celery's worker is to stop."""
        pause_celery_worker(amount)


class _LeaveCeleryWorker(BaseException):
    """Ends the wait for threads."""


class _CeleryWorker(Worker):  # type: ignore[misc]
    """Celery's worker, with signals that a pool of threads can follow."""

    def install_platform_tweaks(self, worker: Worker) -> None:
        """Installs what the worker does on signals."""
        signal.signal(signal.SIGTERM, _stop_worker)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup leaves it
            signal.signal(signal.SIGHUP, _stop_worker)
        signal.signal(signal.SIGINT, _stop_worker)
        signal.signal(signal.SIGQUIT, _leave_worker)

    def on_stopped(self) -> None:
        """Acknowledges what was answered after the loop had ended, and closes the connection."""
        if self.consumer.hub and self.consumer.connection:
            for acknowledge in self.consumer.hub._pop_ready():
                acknowledge()
        super().on_stopped()


def run_celery_worker(
    app: Celery,
    settings: Settings,
    queues: list[str],
    hostname: str,
    on_poison: OnPoison,
    on_leave: Callable[[], None] = lambda: None,
) -> int:
    """Runs Celery's worker until it is told to stop; returns the exit code.

    A Redis that restarts or fills up ends Celery's worker. The model stays loaded, and a new one
    takes over: what the old one had in hand comes back after the visibility timeout.

    SIGTERM, a terminal that is closed (SIGHUP) and the first Ctrl-C let it answer what it has in
    hand. SIGQUIT and the second Ctrl-C put that back into the queue and end the process at once.

    Args:
        app: with its tasks.
        settings: of the worker.
        queues: Celery's names of the queues.
        hostname: Celery's name of the worker.
        on_poison: called once for each message that cannot be acted on.
        on_leave: called before the process ends with requests in hand, which it puts back.
    """
    guard_app(app, settings, on_poison)
    # At the level debug, it logs the arguments of each request, with the image.
    logging.getLogger("celery.pool").setLevel(logging.INFO)
    # Each time that Redis is lost, Celery says what a later version will do by default.
    warnings.simplefilter("ignore", CPendingDeprecationWarning)
    # The warning for root advises an option of another command line, `--uid`.
    warnings.filterwarnings("ignore", "You're running the worker with superuser privileges")
    app.conf.result_backend = result_backend(settings, PatientBackend)
    quiet = OutageFilter()
    while True:
        state.reset_state()
        worker = _celery_worker(app, settings, queues, hostname)
        for handler in logging.getLogger().handlers:
            handler.addFilter(quiet)
        try:
            worker.start()
        except _LeaveCeleryWorker:
            _put_back_unacknowledged(worker)
        if state.should_terminate is not None:
            # Threads may be in the middle of a request, which another worker has by now.
            on_leave()
            logging.shutdown()
            sys.stdout.flush()
            os._exit(int(state.should_terminate))
        if is_stopping():  # told to stop, and all in hand is answered
            return 0
        log.error("the worker lost Redis; it starts again in %s s", _RESTART_SECONDS)
        pause_celery_worker(_RESTART_SECONDS)


def _celery_worker(app: Celery, settings: Settings, queues: list[str], hostname: str) -> Worker:
    return _CeleryWorker(
        app=app,
        pool_cls="threads",
        concurrency=settings.concurrency,
        queues=queues,
        loglevel=settings.log_level.upper(),
        # Workers need not know each other; on Redis that talk costs more than it gives.
        without_mingle=True,
        without_gossip=True,
        without_heartbeat=True,
        hostname=hostname,
        quiet=True,
    )


def _stop_worker(number: int, _: Any) -> None:
    """Lets the worker answer what it has in hand, and then end; with a second Ctrl-C, at once."""
    if state.should_stop is not None:
        if number == signal.SIGINT:
            _leave_worker()
        return
    state.should_stop = 0
    what = f"Stopping when all in hand is answered ({signal.Signals(number).name})"
    text = f"{what}; Ctrl-C to put it back and stop now\n"
    # No logging: a signal may have interrupted a thread that holds its lock.
    with suppress(OSError):  # a terminal that was closed takes nothing
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, text.encode())


def _leave_worker(*_: Any) -> None:
    """Puts what is in hand back into the queue, and ends."""
    state.should_terminate = _INTERRUPTED
    if state.should_stop is not None:  # the loop has ended, and threads are waited for
        raise _LeaveCeleryWorker


def _put_back_unacknowledged(worker: Worker) -> None:
    consumer = worker.consumer.task_consumer
    if consumer is None or consumer.channel is None:
        return
    try:
        consumer.channel.qos.restore_unacked_once()
    except (redis.RedisError, OSError) as error:
        log.warning("what is in hand comes back after the visibility timeout: %s", error)
