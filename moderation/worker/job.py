"""One request as a worker has it in hand: where it stands in Redis, what it asks, what it holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from moderation.messages import QueueName
from moderation.scoring.timer import Timer
from moderation.worker.arrival import ArrivedRequest

#: What a message counts for each worker that died with it in hand; for one that lived and did not
#: come back from it in time it counts 1.
_STRIKES_OF_DEATH = 3


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
        """How many workers died with the job; three that did not come back count as one."""
        return self.request.strikes // _STRIKES_OF_DEATH
