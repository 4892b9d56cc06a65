"""Kills of a worker at a certain moment of its batch.

The moments are short. So the worker is stopped, or Redis takes no writes, until it is certain from
outside which moment it is.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import redis
from sqlalchemy import Engine

from tests.chaos.ledger import logged_among
from tests.chaos.servers import WorkerProcess
from tests.chaos.target import HeldMessage, Target, held_messages

#: How long to try to meet the moment, in seconds: all workers may be starting.
_PATIENCE = 30.0
#: For how long Redis takes no writes, at most: less than the life of a worker without a sign.
_WRITELESS_SECONDS = 2.0
_LOOK_SECONDS = 0.002
#: Until Redis has noticed that a client is gone.
_GONE_SECONDS = 0.1


def kill_oldest(target: Target) -> str:
    """Kills the worker that has served longest, whatever it does."""
    oldest = target.crew.workers[0]
    target.crew.kill(oldest)
    return f"SIGKILL to {oldest.name}"


def kill_after_taking(target: Target) -> str:
    """Kills a worker that has taken requests of which the log has no row yet."""
    deadline = time.monotonic() + _PATIENCE
    with target.database.engine() as engine:
        while time.monotonic() < deadline and target.has_work:
            target.crew.tend()
            for worker in list(target.crew.workers):
                with _stopped(worker):
                    held = _held_by(worker, target)
                    if held and not _logged(held, engine):
                        target.crew.kill(worker)
                        return f"SIGKILL to {worker.name}: {len(held)} in hand, 0 of them logged"
            time.sleep(_LOOK_SECONDS)
    return f"{kill_oldest(target)}: that moment did not come"


def kill_before_answer(target: Target) -> str:
    """Kills a worker that has logged requests and not answered them.

    Redis takes no writes meanwhile, so that the worker gets as far as it can without an answer.
    """
    deadline = time.monotonic() + _PATIENCE
    with target.database.engine() as engine:
        while time.monotonic() < deadline and target.has_work:
            if not target.wait_for_work()[0]:
                continue
            with _without_writes(target.connection):
                if did := _kill_once_logged(target, engine):
                    time.sleep(_GONE_SECONDS)
                    return did
    return f"{kill_oldest(target)}: that moment did not come"


def _kill_once_logged(target: Target, engine: Engine) -> str:
    """Kills the first worker that logs something it has in hand; returns what was done.

    What was logged before counts for nothing: it may be a copy of what was answered long ago.
    """
    deadline = time.monotonic() + 0.8 * _WRITELESS_SECONDS
    before = _logged(held_messages(target.connection), engine)
    while time.monotonic() < deadline and target.depth()[0]:
        for worker in list(target.crew.workers):
            held = _held_by(worker, target)
            if logged := _logged(held, engine) - before:
                target.crew.kill(worker)
                shown = f"{len(held)} in hand, {len(logged)} of them logged"
                return f"SIGKILL to {worker.name}: {shown}"
        time.sleep(_LOOK_SECONDS)
    return ""


def _held_by(worker: WorkerProcess, target: Target) -> list[HeldMessage]:
    return [held for held in held_messages(target.connection) if held.is_of(worker.name)]


def _logged(held: Sequence[HeldMessage], engine: Engine) -> set[str]:
    return logged_among(engine, [each.request_id for each in held])


@contextmanager
def _stopped(worker: WorkerProcess) -> Iterator[None]:
    """Stops a worker's process in the block, and lets it go on unless it was killed."""
    with suppress(ProcessLookupError):  # it has ended by itself
        os.kill(worker.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        if worker.process.poll() is None:
            os.kill(worker.process.pid, signal.SIGCONT)


@contextmanager
def _without_writes(connection: redis.Redis) -> Iterator[None]:
    """Lets Redis answer reads alone in the block; nobody's command is refused, it waits."""
    connection.client_pause(round(1000 * _WRITELESS_SECONDS), all=False)
    try:
        yield
    finally:
        connection.client_unpause()
