"""Starts the processes of one worker, starts again what dies, and ends them as one.

It serves nothing itself. Whatever ends it, no process is left: each is ended here, and ends by
itself when the supervisor is gone.
"""

from __future__ import annotations

import logging
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from selectors import EVENT_READ, DefaultSelector
from typing import get_args

from moderation.errors import WorkerError
from moderation.worker.celery_worker import INTERRUPTED, say_stopping
from moderation.worker.processes.child import Child, Death
from moderation.worker.processes.figures import ProcessFigures
from moderation.worker.processes.orders import Kind, MemberFault

log = logging.getLogger(__name__)

#: How long lines may take to put back what they have, and the encoder process to end, in seconds.
_LEAVE_SECONDS, _END_SECONDS = 20.0, 10.0


class Supervisor:
    """The encoder process and the lines of one worker; `run` has them serve."""

    def __init__(
        self,
        encoder: Child,
        lines: Sequence[Child],
        figures: ProcessFigures,
        *,
        on_ready: Callable[[str], None],
        let_encoder_end: Callable[[], None],
        check_place: Callable[[], None],
    ) -> None:
        """Starts nothing yet.

        Args:
            encoder: the encoder process.
            lines: the line processes.
            figures: are told which processes there are.
            on_ready: called once, when all are ready, with the models in words.
            let_encoder_end: called when no line needs the encoder process any more.
            check_place: called before a process is started again; what it raises ends all.
        """
        self._encoder, self._lines = encoder, tuple(lines)
        #: The encoder process first: where it fails, that explains what lines say.
        self._children = (encoder, *lines)
        self._figures = figures
        self._on_ready, self._let_encoder_end = on_ready, let_encoder_end
        self._check_place = check_place
        self._is_serving = False
        self._stopped_by: int | None = None
        self._leave_until: float | None = None

    def run(self) -> int:
        """Serves until it is told to stop; returns the exit code.

        SIGTERM, SIGHUP and the first Ctrl-C let lines answer what they have in hand. SIGQUIT and
        the second Ctrl-C have them put it back and end at once.

        Raises:
            ModerationError, MemberFault: a process failed before it had ever been ready.
            WorkerError: what the processes share is gone.
            OSError: a process cannot be started.
        """
        with _heard_signals() as signals:
            try:
                for child in self._children:
                    child.start()
                while self._stopped_by is None or any(line.is_alive for line in self._lines):
                    self._step(signals)
                self._let_encoder_end()
                is_in_time = self._encoder.is_ready and self._leave_until is None
                self._encoder.end(_END_SECONDS if is_in_time else 0)
            finally:
                self._end_all()
        was_interrupted = self._stopped_by == signal.SIGINT and not self._is_serving
        return INTERRUPTED if self._leave_until or was_interrupted else 0

    def _end_all(self) -> None:
        """Ends what still runs: lines put back what they have."""
        for line in self._lines:
            _put_back(line)
        until = time.monotonic() + _LEAVE_SECONDS
        for line in self._lines:
            line.end(until - time.monotonic())
        self._encoder.end(0)

    def _step(self, signals: socket.socket) -> None:
        """Waits for something to happen, and deals with it."""
        speaking = self._wait(signals)
        for number in _taken(signals):
            self._obey(number)
        for child in speaking:
            self._hear(child)
        now = time.monotonic()
        for child in self._children:
            if child.restart_at is not None and child.restart_at <= now:
                self._restart(child)
        if self._leave_until is not None and self._leave_until <= now:
            for line in self._lines:
                line.signal(signal.SIGKILL)
        self._note_ready()

    def _wait(self, signals: socket.socket) -> list[Child]:
        """Returns the processes that report or have ended, as soon as there is anything to do."""
        times = [self._leave_until, *(child.restart_at for child in self._children)]
        next_time = min((at for at in times if at is not None), default=None)
        left = None if next_time is None else max(0.0, next_time - time.monotonic())
        with DefaultSelector() as selector:
            selector.register(signals, EVENT_READ)
            for child in self._children:
                if child.is_alive:
                    selector.register(child, EVENT_READ, child)
            found = {key.data for key, _ in selector.select(left)}
        return [child for child in self._children if child in found]

    def _obey(self, number: int) -> None:
        if number == signal.SIGQUIT or (self._stopped_by and number == signal.SIGINT):
            self._leave(number)
        elif self._stopped_by is None:
            self._stopped_by = number
            if self._is_serving:
                say_stopping(number)
            for line in self._lines:
                line.restart_at = None
                line.tell_to_stop()
                if not line.is_ready:
                    line.signal(signal.SIGTERM)  # so that it does not finish its start first

    def _leave(self, number: int) -> None:
        """Has lines put back what they have and end at once."""
        if self._leave_until is not None:
            return
        self._stopped_by = self._stopped_by or number
        self._leave_until = time.monotonic() + _LEAVE_SECONDS
        for line in self._lines:
            line.restart_at = None
            _put_back(line)

    def _hear(self, child: Child) -> None:
        was_ready = child.is_ready
        if not child.hear():
            self._bury(child)
        elif child.is_ready and not was_ready:
            log.info("the %s is ready: process %s", child, child.pid)
        if seconds := child.misses_encoder:
            child.misses_encoder = 0.0
            self._end_hanging_encoder(seconds)

    def _end_hanging_encoder(self, seconds: float) -> None:
        """Kills the encoder process that a line has asked in vain, unless it is a later one."""
        if self._encoder.is_alive and self._encoder.age >= seconds:
            log.error("the %s has not answered for %g s, and is killed", self._encoder, seconds)
            self._encoder.signal(signal.SIGKILL)

    def _bury(self, child: Child) -> None:
        """Clears away a process that has ended, and has it started again if it is needed.

        Raises:
            ModerationError, MemberFault: it had never been ready, and nothing was served yet.
        """
        death = child.reap()
        log.debug("the %s %s", child, death.how)
        self._figures.ended(child.order.number)
        if self._stopped_by is not None and not self._is_needed(child):
            return
        if self._stopped_by is None and not self._is_serving and not child.was_ready:
            remedy = "Its log above may say why"
            raise death.error or WorkerError(f"it {death.how} while it started", str(child), remedy)
        self._start_later(child, death)

    def _is_needed(self, child: Child) -> bool:
        """Whether a process is needed while the worker stops."""
        return child is self._encoder and any(line.is_alive for line in self._lines)

    def _start_later(self, child: Child, death: Death) -> None:
        child.restart_at = time.monotonic() + death.pause
        fault = death.error if isinstance(death.error, MemberFault) else None
        text = "the %s %s; it starts again in %g s"
        log.error(text, child, death.how, death.pause, exc_info=fault)

    def _restart(self, child: Child) -> None:
        if self._stopped_by is not None and not self._is_needed(child):
            child.restart_at = None
            return
        self._check_place()
        try:
            child.start()
        except OSError as error:
            self._start_later(child, Death(f"does not start: {error}", None, child.next_pause()))
        else:
            self._figures.restarted(child.order.kind)

    def _note_ready(self) -> None:
        """Counts the processes that are ready; the first time that all are, the worker serves."""
        for kind in get_args(Kind):
            ready = [each.is_ready for each in self._children if each.order.kind == kind]
            self._figures.ready(kind, sum(ready))
        if self._is_serving or self._stopped_by is not None:
            return
        if all(child.is_ready for child in self._children):
            self._is_serving = True
            self._on_ready(self._encoder.models)


def _put_back(line: Child) -> None:
    """Has a line put back what it has and end; SIGTERM ends one that has taken nothing yet."""
    line.signal(signal.SIGQUIT if line.is_ready else signal.SIGTERM)


@contextmanager
def _heard_signals() -> Iterator[socket.socket]:
    """Yields a socket that gets a byte for each signal that comes, its number.

    So no signal interrupts anything, such as the start of a process that would be lost track of.
    """
    numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup leaves it
        numbers.append(signal.SIGHUP)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        before = {number: signal.signal(number, lambda *_: None) for number in numbers}
        try:
            yield ours
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup)


def _taken(signals: socket.socket) -> bytes:
    """Returns the numbers of the signals that came since the last time."""
    with suppress(BlockingIOError):
        return signals.recv(1 << 10)
    return b""
