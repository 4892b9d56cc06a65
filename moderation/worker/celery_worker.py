"""Runs Celery's worker until it is told to stop, and again after Redis was lost.

Celery answers signals and `ping`. It takes from no queue: the line does, in batches.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import warnings
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from celery import Celery
from celery.apps.worker import Worker
from celery.exceptions import CPendingDeprecationWarning
from celery.worker import state

from moderation.messages import QUEUES
from moderation.settings import Settings
from moderation.worker.outage_filter import OutageFilter

log = logging.getLogger(__name__)

#: Pause before Celery's worker is started again.
_RESTART_SECONDS = 2.0
#: How long a pause goes on after the worker was told to stop, in seconds.
_STEP_SECONDS = 0.1
#: Exit code of a process that Ctrl-C ended.
INTERRUPTED = 130


def is_stopping() -> bool:
    """Whether Celery's worker of this process was told to stop."""
    return state.should_stop is not None or state.should_terminate is not None


def pause_celery_worker(seconds: float) -> None:
    """Waits for `seconds`, or until Celery's worker is told to stop."""
    until = time.monotonic() + seconds
    while not is_stopping() and (left := until - time.monotonic()) > 0:
        time.sleep(min(_STEP_SECONDS, left))


def obey_signals(*, says: bool = True) -> None:
    """Makes signals stop the worker; called before it takes anything.

    Args:
        says: whether it says so; of several processes, their supervisor does.
    """
    stop = partial(_stop_worker, says)
    signal.signal(signal.SIGTERM, stop)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup leaves it
        signal.signal(signal.SIGHUP, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGQUIT, _leave_worker)


def say_stopping(number: int) -> None:
    """Says on standard error that the worker stops, and how to stop it at once."""
    what = f"Stopping when all in hand is answered ({signal.Signals(number).name})"
    text = f"{what}; Ctrl-C to put it back and stop now\n"
    # No logging: a signal may have interrupted a thread that holds its lock.
    with suppress(OSError):  # a terminal that was closed takes nothing
        os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, text.encode())


class Serving(Protocol):
    """What a worker serves its queues with."""

    def finish(self) -> None:
        """Takes nothing more and answers what is in hand."""

    def abandon(self) -> None:
        """Puts what is in hand back into the queues."""


class _LeaveCeleryWorker(BaseException):
    """Ends the wait for the line."""


class _CeleryWorker(Worker):  # type: ignore[misc]
    """Celery's worker, with signals that the line can follow."""

    def install_platform_tweaks(self, worker: Worker) -> None:
        """Leaves signals to `obey_signals`."""


def run_celery_worker(app: Celery, settings: Settings, hostname: str, line: Serving) -> int:
    """Runs Celery's worker until it is told to stop, then ends the line; returns the exit code.

    Signals are those of `obey_signals`.

    A Redis that restarts or fills up can end Celery's worker. The model stays loaded and the line
    goes on, and a new one takes over.

    SIGTERM, a terminal that is closed (SIGHUP) and the first Ctrl-C let the line answer what it has
    in hand. SIGQUIT and the second Ctrl-C put that back into the queue and end the process at once.

    Args:
        app: of the worker.
        settings: of the worker.
        hostname: Celery's name of the worker.
        line: takes and answers.
    """
    # A worker does not end because Redis refuses something.
    app.conf.broker_channel_error_retry = True
    # Each time that Redis is lost, Celery says what a later version will do by default.
    warnings.simplefilter("ignore", CPendingDeprecationWarning)
    # The warning for root advises an option of another command line, `--uid`.
    warnings.filterwarnings("ignore", "You're running the worker with superuser privileges")
    quiet = OutageFilter()
    for handler in logging.getLogger().handlers:
        handler.addFilter(quiet)
    try:
        while not is_stopping():
            _celery_worker(app, settings, hostname).start()
            if not is_stopping():
                log.error("the worker lost Redis; it starts again in %s s", _RESTART_SECONDS)
                pause_celery_worker(_RESTART_SECONDS)
        if state.should_terminate is None:
            line.finish()
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # there is nothing left to put back
    except _LeaveCeleryWorker:
        pass
    if state.should_terminate is None:
        return 0
    # Threads may be in the middle of a request, which another worker gets now.
    line.abandon()
    logging.shutdown()
    sys.stdout.flush()
    os._exit(int(state.should_terminate))


def _celery_worker(app: Celery, settings: Settings, hostname: str) -> Worker:
    return _CeleryWorker(
        app=app,
        # Celery runs no task here.
        pool_cls="solo",
        exclude_queues=[*QUEUES.values()],
        loglevel=settings.log_level.upper(),
        # Workers need not know each other; on Redis that talk costs more than it gives.
        without_mingle=True,
        without_gossip=True,
        without_heartbeat=True,
        hostname=hostname,
        quiet=True,
    )


def _stop_worker(says: bool, number: int, _: Any) -> None:
    """Lets the worker answer what it has in hand, and then end; with a second Ctrl-C, at once."""
    if state.should_stop is not None:
        if number == signal.SIGINT:
            _leave_worker()
        return
    state.should_stop = 0
    if says:
        say_stopping(number)


def _leave_worker(*_: Any) -> None:
    """Puts what is in hand back into the queue, and ends."""
    state.should_terminate = INTERRUPTED
    if state.should_stop is not None:  # the loop has ended, and the line is waited for
        raise _LeaveCeleryWorker
