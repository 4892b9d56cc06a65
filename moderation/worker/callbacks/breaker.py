"""When the host of a receiver is left alone, and when it is tried again.

The libraries for circuit breakers (pybreaker, purgatory) wrap the call: they say no when a row has
been claimed already, and pybreaker makes one call at a time. This one is asked before a row is
claimed, and hears later what became of it.
"""

from __future__ import annotations

from collections.abc import Callable


class Breaker:
    """Leaves a host alone that keeps failing, and checks now and then whether it is back.

    While it is closed, tries may begin. Once open, it lets none begin for `pause` seconds after the
    last failure, and then one at a time until one succeeds. It is for one host and one thread.
    """

    def __init__(self, clock: Callable[[], float], *, failures: int, pause: float) -> None:
        """Begins closed.

        Args:
            clock: seconds that never go back.
            failures: how many in a row open it.
            pause: seconds for which it stays open.
        """
        self._clock = clock
        self._limit = failures
        self._pause = pause
        self._failures = 0
        self._open_until: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether the breaker is open: the host is thought to be down."""
        return self._open_until is not None

    def room(self, in_flight: int, most: int) -> int:
        """Returns how many tries the breaker lets begin now.

        Args:
            in_flight: how many are under way.
            most: how many may be under way while the host is well.
        """
        if self._open_until is None:
            return max(0, most - in_flight)
        if self._clock() < self._open_until:
            return 0
        return 0 if in_flight else 1

    def succeeded(self) -> bool:
        """Notes that the host served; returns whether that closed an open breaker."""
        was_open = self.is_open
        self._failures, self._open_until = 0, None
        return was_open

    def failed(self) -> bool:
        """Notes that the host did not serve; returns whether that opened a closed breaker."""
        was_open = self.is_open
        self._failures += 1
        if was_open or self._failures >= self._limit:
            self._open_until = self._clock() + self._pause
        return self.is_open and not was_open
