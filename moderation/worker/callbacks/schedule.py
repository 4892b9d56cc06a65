"""When a callback is tried again, when it is given up, and when its host is left alone.

The libraries for circuit breakers (pybreaker, purgatory) wrap the call: they say no when a row has
been claimed already, and pybreaker makes one call at a time. This one is asked before a row is
claimed, and hears later what became of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_MINUTE, _HOUR = 60.0, 3600.0

#: Seconds before each further try: about three days in all, over a weekend.
BACKOFF = (
    5.0,
    30.0,
    2 * _MINUTE,
    10 * _MINUTE,
    30 * _MINUTE,
    1 * _HOUR,
    3 * _HOUR,
    6 * _HOUR,
    12 * _HOUR,
    24 * _HOUR,
    24 * _HOUR,
)

#: A receiver that asks for a longer wait gets this one.
LONGEST_RETRY_AFTER = 24 * _HOUR

#: Tries are spread by this share of their wait, so that they do not overrun a host that is back.
_JITTER = 0.2


@dataclass(frozen=True)
class Timing:
    """How the dispatcher keeps time; in seconds unless it says otherwise.

    Attributes:
        backoff: before each further try; after the last one a callback is given up.
        poll: how often due rows are looked for.
        claim_beyond: how much longer than a try a row stays claimed, to write what became of it.
        per_host: how many tries of one host may be under way at a time.
        breaker_failures: how many failures in a row open the breaker of a host.
        breaker_pause: how long it stays open.
        grace: how long tries that are under way may go on when the dispatcher is closed.
        longest_outage_pause: the longest wait between two looks at a database that is down.
    """

    backoff: Sequence[float] = BACKOFF
    poll: float = 1.0
    claim_beyond: float = 60.0
    per_host: int = 2
    breaker_failures: int = 5
    breaker_pause: float = 60.0
    grace: float = 3.0
    longest_outage_pause: float = 30.0


def wait_before_next(
    attempts: int, retry_after: float | None, backoff: Sequence[float] = BACKOFF
) -> timedelta | None:
    """Returns how long to wait after so many failed tries; None if the callback is given up.

    `retry_after` of the receiver makes the wait longer, up to a day, and never shorter.
    """
    if attempts > len(backoff):
        return None
    seconds = backoff[attempts - 1] * random.uniform(1 - _JITTER, 1 + _JITTER)
    return timedelta(seconds=max(seconds, min(retry_after or 0.0, LONGEST_RETRY_AFTER)))


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Returns the seconds that a Retry-After header asks for; None if it makes no sense."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:10])
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - now).total_seconds())


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
        """Whether the host is thought to be down."""
        return self._open_until is not None

    def room(self, in_flight: int, most: int) -> int:
        """Returns how many tries may begin now.

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
