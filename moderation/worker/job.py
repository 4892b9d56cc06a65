"""One request as a worker has it in hand: where it stands in Redis, what it asks, what it holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from moderation.messages import QueueName
from moderation.queue.packed_message import STRIKES_OF_DEATH
from moderation.scoring.timer import Timer
from moderation.worker.arrival import ArrivedRequest


@dataclass(frozen=True, eq=False)
class Job:
    """A request in hand.

    Attributes:
        tag: its place in Redis.
        request: what it asks.
        message_bytes: how long its message is.
        timer: what its steps take.
    """

    tag: str
    request: ArrivedRequest
    message_bytes: int
    timer: Timer = field(default_factory=Timer)

    @property
    def id(self) -> str:
        """The request's id, as its job is called in the log."""
        return self.request.submission.request_id

    @property
    def queue(self) -> QueueName:
        """The queue that the job came by."""
        return self.request.arrival.queue

    @property
    def deaths(self) -> int:
        """How many workers died with this job in hand; three that did not come back count as one."""
        return self.request.strikes // STRIKES_OF_DEATH
