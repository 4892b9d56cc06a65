"""What faults are done to, and what lies in its Redis."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, NamedTuple, cast

import redis

from moderation.messages import QUEUES
from moderation.queue.keys import HAND
from tests.chaos.load import HostLoad
from tests.chaos.servers import Crew, LogDatabase, RedisWithFile

#: How long to wait until something is in hand, in seconds: all workers may be starting.
_PATIENCE = 40.0


class HeldMessage(NamedTuple):
    """A message that a worker has in hand.

    Attributes:
        worker: the worker's name in Redis.
        queue: the list that it came from.
        raw: as it lay there.
    """

    worker: str
    queue: str
    raw: bytes

    @property
    def request_id(self) -> str:
        """Of the request; "" in garbage."""
        try:
            return str(json.loads(self.raw)["headers"]["id"])
        except (ValueError, TypeError, KeyError):
            return ""

    def is_of(self, name: str) -> bool:
        """Whether a worker of that name has it: its name in Redis begins with this."""
        return self.worker.startswith(f"{name}-")


def held_messages(connection: redis.Redis) -> list[HeldMessage]:
    """Returns what workers have in hand."""
    found = cast(dict[bytes, bytes], connection.hgetall(HAND))
    return [_held_message(tag.decode(), raw) for tag, raw in found.items()]


def _held_message(tag: str, raw: bytes) -> HeldMessage:
    worker, _, rest = tag.partition(":")
    return HeldMessage(worker, QUEUES["bulk" if rest.endswith(":bulk") else "interactive"], raw)


@dataclass
class Target:
    """What faults are done to."""

    server: RedisWithFile
    database: LogDatabase
    crew: Crew
    load: HostLoad
    connection: redis.Redis
    random: random.Random
    #: Raw garbage that was put into queues and that nobody submitted, by kind.
    poison_messages: Counter[str] = field(default_factory=Counter)
    redis_kills: Iterator[bool] = field(default_factory=lambda: cycle((True, False)))
    #: Messages that were seen before; they go into a queue again when they have been answered.
    seen: list[tuple[str, bytes]] = field(default_factory=list)

    def depth(self) -> tuple[int, int]:
        """Returns how many requests workers that run have in hand, and how many wait."""
        names = tuple(f"{worker.name}-".encode() for worker in self.crew.workers)
        with suppress(redis.RedisError):
            tags = cast(list[bytes], self.connection.hkeys(HAND))
            waiting = [self.connection.llen(name) for name in QUEUES.values()]
            return sum(tag.startswith(names) for tag in tags), sum(map(int, waiting))
        return 0, 0

    @property
    def has_work(self) -> bool:
        """Whether requests come, wait or are in hand."""
        return not self.load.is_done or any(self.depth())

    def wait_for_work(self) -> tuple[int, int]:
        """Returns the depth once something is in hand, or after some patience."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            in_hand, waiting = self.depth()
            if in_hand or not self.has_work or time.monotonic() > deadline:
                return in_hand, waiting
            self.crew.tend()
            time.sleep(0.01)

    def waiting(self) -> list[tuple[str, bytes]]:
        """Returns the message that came last into each queue, with the queue."""
        found = [(name, cast(Any, self.connection.lindex(name, 0))) for name in QUEUES.values()]
        return [(name, message) for name, message in found if message]
