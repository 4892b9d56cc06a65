"""How a request came to a worker, and who is told what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from moderation.decision_log.records import Reason
from moderation.errors import ModerationError
from moderation.messages import Verdict
from moderation.messages.queues import QueueName


class Delivery(NamedTuple):
    """How a request came: its id by the queue, which queue, and how often it was tried before."""

    task_id: str
    queue: QueueName
    retries: int = 0
    sent_at: float | None = None


class TryAgain(Exception):
    """The request is to be taken again later; `error` says why."""

    def __init__(self, error: ModerationError) -> None:
        super().__init__(error)
        self.error = error


class Observer(Protocol):
    """Is told what happens to requests."""

    def decided(self, verdicts: tuple[Verdict, ...], delivery: Delivery) -> None:
        """A request got its verdicts."""

    def stepped(self, timings: Mapping[str, float]) -> None:
        """A request went through these steps, in so many seconds each."""

    def recalled(self, count: int) -> None:
        """So many verdicts were in the log already."""

    def set_aside(self, reason: Reason, delivery: Delivery) -> None:
        """A request went to quarantine."""

    def retried(self, error: ModerationError) -> None:
        """A request is to be tried again."""

    def redelivered(self) -> None:
        """A request came that had its answer already."""
