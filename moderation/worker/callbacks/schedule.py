"""When a callback is tried again, and when it is given up."""

from __future__ import annotations

import random
from collections.abc import Sequence
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

#: A receiver that asks for more patience gets this much.
LONGEST_RETRY_AFTER = 24 * _HOUR

#: Tries are spread by so much of their wait, so that a host which is back is not run over.
_JITTER = 0.2


@dataclass(frozen=True)
class Timing:
    """How the dispatcher keeps time; in seconds, where nothing else is said.

    Attributes:
        backoff: before each further try; after the last one a callback is given up.
        poll: how often due rows are looked for.
        claim_beyond: how much longer than a try a row stays claimed, to write its outcome.
        per_host: tries of one host under way at a time (a count).
        breaker_failures: so many in a row open the breaker of a host (a count).
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
    """Returns how long to wait after so many failed attempts; None where it is given up.

    `retry_after` of the receiver makes the wait longer, up to a day, and never shorter.
    """
    if attempts > len(backoff):
        return None
    seconds = backoff[attempts - 1] * random.uniform(1 - _JITTER, 1 + _JITTER)
    return timedelta(seconds=max(seconds, min(retry_after or 0.0, LONGEST_RETRY_AFTER)))


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Returns the seconds that a Retry-After header asks for; None where it makes no sense."""
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
