"""The two queues, and who is served next where requests of both wait for the same thing."""

from __future__ import annotations

from collections import deque
from typing import Generic, Literal, TypeVar

QueueName = Literal["interactive", "bulk"]
#: The list in Redis that holds each queue.
QUEUES: dict[QueueName, str] = {
    "interactive": "moderation.interactive",
    "bulk": "moderation.bulk",
}
T = TypeVar("T")

#: While both queues wait, one request in this many is served from bulk.
BULK_TURN = 4


class FairQueue(Generic[T]):
    """Both queues in one: interactive goes first, and bulk keeps every fourth place.

    So somebody who waits for an answer passes a backlog, and a backlog never stands still. Each
    queue is first in, first out. It has no lock; its owner has one.
    """

    def __init__(self) -> None:
        self._interactive: deque[T] = deque()
        self._bulk: deque[T] = deque()
        self._passed = 0

    def put(self, item: T, queue: QueueName) -> None:
        """Adds an item at the end of its one of the two queues."""
        (self._bulk if queue == "bulk" else self._interactive).append(item)

    def take(self) -> T:
        """Returns the item of the two queues whose turn it is.

        Raises:
            IndexError: nothing waits.
        """
        if self._bulk and (not self._interactive or self._passed >= BULK_TURN - 1):
            self._passed = 0
            return self._bulk.popleft()
        # Only places that bulk was kept waiting for count towards its turn.
        self._passed = self._passed + 1 if self._bulk else 0
        return self._interactive.popleft()

    def __len__(self) -> int:
        return len(self._interactive) + len(self._bulk)
