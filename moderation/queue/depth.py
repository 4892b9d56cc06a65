"""How many requests wait, for how long, and how many workers have in hand: one cheap look at Redis.

What autoscaling needs. It never reads a queue through, since its messages may hold images.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import redis

from moderation.messages import QUEUES
from moderation.queue import scripts
from moderation.queue.celery_app import broker_errors, connect
from moderation.queue.keys import HAND, LATER
from moderation.settings import Settings


class QueueState(NamedTuple):
    """What waits in one queue; `oldest_age_seconds` is 0 if nothing does, and None if unknown."""

    queue: str
    depth: int
    oldest_age_seconds: float | None

    @property
    def shown_age(self) -> str:
        """How long the oldest has waited, in words; empty if nothing waits."""
        if not self.depth:
            return ""
        age = self.oldest_age_seconds
        return "unknown" if age is None else f"{age:,.1f} s"


class BrokerState(NamedTuple):
    """What waits in each queue, and how many workers have taken and not answered.

    Those that are to be tried again later count as taken.
    """

    queues: tuple[QueueState, ...]
    in_hand: int

    @property
    def described(self) -> str:
        """The depths and ages of all queues in one line."""
        waiting = [
            f"{queue.depth} waiting in {queue.queue}"
            + (f" (the oldest {age})" if (age := queue.shown_age) else "")
            for queue in self.queues
        ]
        return ", ".join([*waiting, f"{self.in_hand} in hand"])


def read_queue_depths(settings: Settings) -> BrokerState:
    """Returns what waits and what is in hand now, in one round trip without any message.

    Raises:
        BrokerUnavailable: Redis does not answer. SettingsError: it refuses the password.
    """
    with broker_errors(settings), connect(settings) as connection:
        return look_at_depths(connection)


def look_at_depths(connection: redis.Redis) -> BrokerState:
    """Returns what `read_queue_depths` does, over a connection that is open already."""
    ask = connection.register_script(scripts.LOOK)
    found: Any = ask([HAND, *LATER.values(), *QUEUES.values()])
    seconds, microseconds, in_hand, *each = found
    now = int(seconds) + int(microseconds) / 1e6
    states = (
        QueueState(name, depth, _queue_age(depth, sent_at, now))
        for name, depth, sent_at in zip(QUEUES, each[::2], each[1::2], strict=True)
    )
    return BrokerState(tuple(states), in_hand)


def _queue_age(depth: int, sent_at: bytes | None, now: float) -> float | None:
    """Returns the seconds since a message was sent, by the clock of Redis; never below 0."""
    if not depth:
        return 0.0
    # The host's clock may be ahead of that of Redis.
    return None if sent_at is None else max(0.0, now - float(sent_at))
