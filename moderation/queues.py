"""How many requests wait, for how long, and how many workers have in hand: one cheap look at Redis.

What autoscaling needs. It never reads a queue through, since its messages may hold images.
"""

from __future__ import annotations

import json
import math
from typing import NamedTuple

import redis

from moderation.broker import QUEUES, broker_errors, connect
from moderation.sending import SENT_AT
from moderation.settings import Settings

#: Where kombu keeps what workers have taken and not yet answered, of all queues of a database.
_IN_HAND = "unacked"


class QueueState(NamedTuple):
    """What waits in one queue; `oldest_age_seconds` is 0 where nothing does, None where unknown."""

    queue: str
    depth: int
    oldest_age_seconds: float | None

    @property
    def shown_age(self) -> str:
        """How long the oldest waits, in words; nothing where none does."""
        if not self.depth:
            return ""
        age = self.oldest_age_seconds
        return "unknown" if age is None else f"{age:,.1f} s"


class BrokerState(NamedTuple):
    """What waits in each queue, and how many requests workers have taken and not yet answered."""

    queues: tuple[QueueState, ...]
    in_hand: int

    @property
    def described(self) -> str:
        """All of it in one line."""
        waiting = [
            f"{queue.depth} waiting in {queue.queue}"
            + (f" (the oldest {age})" if (age := queue.shown_age) else "")
            for queue in self.queues
        ]
        return ", ".join([*waiting, f"{self.in_hand} in hand"])


def read_queues(settings: Settings) -> BrokerState:
    """Returns what waits and what is in hand now, in one round trip.

    The message at the end of each queue comes with it, and where it holds an image, so does that.

    Raises:
        BrokerUnavailable: Redis does not answer. SettingsError: it refuses the password.
    """
    with broker_errors(settings), connect(settings) as connection:
        return look(connection)


def look(connection: redis.Redis) -> BrokerState:
    """Returns what `read_queues` does, on a connection that is open already."""
    with connection.pipeline() as pipe:  # a transaction, so that all figures are of one moment
        pipe.time()
        pipe.hlen(_IN_HAND)
        for key in QUEUES.values():
            pipe.llen(key)
            pipe.lindex(key, -1)  # workers take from this end
        (seconds, microseconds), in_hand, *found = pipe.execute()
    now = seconds + microseconds / 1e6
    states = (
        QueueState(name, depth, _age(oldest, now))
        for name, depth, oldest in zip(QUEUES, found[::2], found[1::2], strict=True)
    )
    return BrokerState(tuple(states), in_hand)


def _age(message: bytes | None, now: float) -> float | None:
    """Returns the seconds since a message was sent, by the clock of Redis; never below 0."""
    if message is None:
        return 0.0
    sent_at = _sent_at(message)
    # The host's clock may be ahead of that of Redis.
    return None if sent_at is None else max(0.0, now - sent_at)


def _sent_at(message: bytes) -> float | None:
    """Returns when a message was sent, in Unix seconds; None where it does not say."""
    try:
        sent_at = json.loads(message)["headers"][SENT_AT]
        known = isinstance(sent_at, int | float) and math.isfinite(sent_at)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):  # of another make
        return None
    return float(sent_at) if known else None
