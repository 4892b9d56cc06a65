"""One process of the supervisor, as it sees it: started, heard, told to stop, started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from moderation.worker.processes.orders import (
    EncoderHangs,
    MemberFault,
    Order,
    Ready,
    Report,
    read_report,
    send_order,
)

#: What a process runs.
MEMBER = "moderation.worker.processes.member"

#: Pauses before it starts again: the first, which doubles up to the longest; that of one that had
#: served, for which the others wait; and how long it must have lived for the next pause to be the
#: first one, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE, _LONGEST_PAUSE_ONCE_READY, _LONG_LIFE = 0.5, 30.0, 2.0, 60.0
#: How long one report may be, in bytes.
_MOST_REPORT = 1_000_000
#: How long a process may linger once it has closed its side, in seconds.
_LINGER_SECONDS = 5.0


class Death(NamedTuple):
    """How a process ended: in words, with the error that it reported; the pause before the next."""

    how: str
    error: Exception | None
    pause: float


class Child:
    """A process that does what one order says; for one thread.

    Attributes:
        order: what it is told.
        is_ready: whether it serves now.
        was_ready: whether it, or one before it, ever served.
        models: what it said that it has loaded.
        misses_encoder: for how many seconds it has waited for the encoder process in vain; 0 if it
            does not say so.
        restart_at: when it is to be started again; None if it is not.
    """

    def __init__(
        self, order: Order, *, descriptors: Sequence[int], environment: Mapping[str, str]
    ) -> None:
        """Starts nothing yet.

        Args:
            order: with the descriptors that it needs.
            descriptors: what it inherits, under the same numbers.
            environment: variables beside those of this process.
        """
        self.order = order
        self.is_ready = self.was_ready = False
        self.models = ""
        self.misses_encoder = 0.0
        self.restart_at: float | None = None
        self._descriptors, self._environment = tuple(descriptors), dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._heard = b""
        self._error: Exception | None = None
        self._began, self._pause = 0.0, _FIRST_PAUSE

    def __str__(self) -> str:
        return f"{self.order.kind} process {self.order.name}"

    @property
    def is_alive(self) -> bool:
        """Whether it runs, or has ended and was not reaped yet."""
        return self._process is not None

    @property
    def age(self) -> float:
        """How many seconds ago it was started last."""
        return time.monotonic() - self._began

    @property
    def pid(self) -> int | None:
        """The number of the process, if it runs."""
        return None if self._process is None else self._process.pid

    def fileno(self) -> int:
        """Returns the descriptor that can be read when it reports, or has ended."""
        assert self._channel is not None
        return self._channel.fileno()

    def start(self) -> None:
        """Starts the process.

        Raises:
            OSError: the machine has no process or descriptor left.
        """
        self.restart_at = None
        self._began = time.monotonic()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = self._spawn_member(theirs.fileno())
        except BaseException:
            ours.close()
            raise
        self._channel, self._heard, self._error = ours, b"", None
        self.misses_encoder = 0.0
        # Policies can be long, and nobody reads them before Python has started there.
        threading.Thread(target=send_order, args=(ours, self.order), daemon=True).start()

    def _spawn_member(self, descriptor: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            # -P: without it a json.py in the current folder, such as an upload, would be run.
            [sys.executable, "-P", "-m", MEMBER, str(descriptor)],
            pass_fds=[descriptor, *self._descriptors],
            stdin=subprocess.DEVNULL,
            env={**os.environ, **self._environment},
            start_new_session=True,  # Ctrl-C in the terminal is for the supervisor
        )

    def hear(self) -> bool:
        """Takes in what it reports now; returns whether it goes on: False once it has ended."""
        assert self._channel is not None
        try:
            part = self._channel.recv(1 << 16)
        except ConnectionError:  # it ended before it had read its order
            part = b""
        if not part:
            return False
        *lines, self._heard = (self._heard + part).split(b"\n")
        try:
            for line in lines:
                self._take_in(read_report(line))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return self._refuse()  # strangers' files are near a line, which may say anything
        return len(self._heard) <= _MOST_REPORT or self._refuse()

    def _take_in(self, report: Report) -> None:
        if isinstance(report, Ready):
            self.is_ready = self.was_ready = True
            self.models = report.models
        elif isinstance(report, EncoderHangs):
            self.misses_encoder = report.seconds
        else:
            self._error = report

    def _refuse(self) -> bool:
        """Ends a process that reports what no process of ours does."""
        assert self._process is not None
        self._error = MemberFault("it reported what cannot be read")
        self._process.kill()
        return False

    def reap(self) -> Death:
        """Clears away the process that has ended; returns how."""
        assert self._process is not None
        lived = self.age
        code = self._wait_or_kill(_LINGER_SECONDS)
        longest = _LONGEST_PAUSE_ONCE_READY if self.is_ready else _LONGEST_PAUSE
        self._forget()
        error = self._error
        how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        return Death(f"failed: {error}" if error else how, error, self.next_pause(lived, longest))

    def next_pause(self, lived: float = 0.0, longest: float = _LONGEST_PAUSE) -> float:
        """Returns the pause before it is started again, and makes the next one longer."""
        pause = _FIRST_PAUSE if lived > _LONG_LIFE else min(self._pause, longest)
        self._pause = min(2 * pause, longest)
        return pause

    def tell_to_stop(self) -> None:
        """Has it stop as on SIGTERM, also while it is starting."""
        if self._channel is not None:
            with suppress(OSError):  # it has ended
                self._channel.shutdown(socket.SHUT_WR)

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal, if it runs."""
        if self._process is not None:
            self._process.send_signal(number)

    def end(self, seconds: float) -> None:
        """Waits for it to end by itself, and kills it after so much time."""
        if self._process is not None:
            self._wait_or_kill(seconds)
            self._forget()

    def _wait_or_kill(self, seconds: float) -> int:
        assert self._process is not None
        try:
            return self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _forget(self) -> None:
        if self._channel is not None:
            self._channel.close()
        self._process = self._channel = None
        self.is_ready = False


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
