"""When a callback is tried again, and when it is given up."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

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
    """Returns how long to wait after `attempts` failed tries; None if the callback is given up.

    `retry_after` of the receiver makes the wait longer, up to a day, and never shorter.
    """
    if attempts > len(backoff):
        return None
    seconds = backoff[attempts - 1] * random.uniform(1 - _JITTER, 1 + _JITTER)
    return timedelta(seconds=max(seconds, min(retry_after or 0.0, LONGEST_RETRY_AFTER)))
