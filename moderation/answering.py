"""One request -> its one final answer: a verdict, or quarantine with the reason. Knows no Celery.

However often a request is delivered, its first answer in the decision log is the answer. What can
be tried again is handed back; what cannot, or was tried often enough, is set aside.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

import redis

from moderation.decision_log.log import DecisionLog
from moderation.decision_log.records import Decided, Outcome, Quarantined, Reason, Submission
from moderation.errors import LogUnavailable, ModerationError
from moderation.fetch import Fetcher
from moderation.lanes import Lane
from moderation.messages import ModerationRequest, Verdict
from moderation.pipeline import Pipeline, Timer
from moderation.reasons import deadly, fault, may_pass, reason_of
from moderation.registry import Accepted, Registry
from moderation.settings import Settings
from moderation.submissions import request_of, submission_of

log = logging.getLogger(__name__)
T = TypeVar("T")

#: Pauses between two tries to reach the decision log, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


class Delivery(NamedTuple):
    """How a request came: its id by the queue, which queue, and how often it was tried before."""

    task_id: str
    queue: str
    retries: int = 0
    sent_at: float | None = None

    @property
    def lane(self) -> Lane:
        """The lane that the queue's requests go in."""
        return "bulk" if self.queue == "bulk" else "interactive"


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


class Answerer:
    """Answers requests from many threads."""

    def __init__(
        self,
        settings: Settings,
        pipeline: Pipeline,
        fetcher: Fetcher,
        decisions: DecisionLog,
        registry: Registry,
        observer: Observer,
        *,
        worker: str,
        stopping: Callable[[], bool],
    ) -> None:
        """Prepares an answerer.

        Args:
            settings: limits and numbers of tries.
            pipeline: decides.
            fetcher: gets the images.
            decisions: where answers are kept for good.
            registry: of requests that are not final.
            observer: is told what happens.
            worker: the name of this process among those that ever were.
            stopping: whether the worker has been told to end; then nothing is waited for.
        """
        self._settings = settings
        self._pipeline = pipeline
        self._fetcher = fetcher
        self._decisions = decisions
        self._registry = registry
        self._observer = observer
        self._worker = worker
        self._stopping = stopping

    def answer(self, message: Any, delivery: Delivery) -> Outcome:
        """Returns the final answer to a request, a plain JSON value, once the log has it.

        Raises:
            TryAgain: it has none yet.
        """
        submission = submission_of(message, delivery.task_id, delivery.queue, delivery.sent_at)
        try:
            known = self._patiently(
                lambda: self._decisions.outcome(submission.request_id, submission.request_sha256)
            )
        except LogUnavailable as error:
            self._observer.retried(error)
            raise TryAgain(error) from error
        if known is not None:
            self._observer.redelivered()
        outcome = known or self._first_answer(message, submission, delivery)
        self._quietly(lambda: self._registry.settle(submission.request_id))
        return outcome

    def _first_answer(self, message: Any, submission: Submission, delivery: Delivery) -> Outcome:
        """Returns the answer to a request that had none when it was taken."""
        request_id = submission.request_id
        deaths = (
            self._quietly(lambda: self._registry.take(request_id, delivery.queue, self._worker))
            or 0
        )
        if deaths >= self._settings.max_deliveries:
            return self._set_aside(submission, delivery, deadly(deaths), message, deaths=deaths)
        try:
            return self._decide(message, submission, delivery)
        except LogUnavailable as error:
            raise self._try_again(request_id, error) from error
        except Exception as error:
            if not isinstance(error, ModerationError):
                log.exception("the program failed on a request", extra={"request_id": request_id})
            told = error if isinstance(error, ModerationError) else fault(error)
            if may_pass(error) and delivery.retries < self._settings.max_retries:
                raise self._try_again(request_id, told) from error
            return self._set_aside(submission, delivery, told, message, deaths=deaths)

    def _decide(self, message: Any, submission: Submission, delivery: Delivery) -> Outcome:
        """Fetches, decides, and returns what the log then says."""
        timer = Timer()
        request = request_of(message, submission.request_id)
        self._pipeline.refuse_unknown(request.policies)
        with timer.step("fetch"):
            content = self._fetcher.fetch(request.image)
        verdicts = self._verdicts(request, content, timer, delivery.lane)
        bases = self._pipeline.bases(request.policies, frames=self._settings.frames)
        with timer.step("log"):
            outcome = self._patiently(lambda: self._decisions.decide(submission, bases, verdicts))
        self._observer.stepped(timer.seconds)
        if isinstance(outcome, Decided):
            self._observer.decided(outcome.verdicts, delivery)
        return outcome

    def _verdicts(
        self, request: ModerationRequest, content: bytes, timer: Timer, lane: Lane
    ) -> tuple[Verdict, ...]:
        """Returns the verdicts that the log has on this image, else newly made ones."""
        bases = self._pipeline.bases(request.policies, frames=self._settings.frames)
        image_sha256 = hashlib.sha256(content).hexdigest()
        keys = [basis.key for basis in bases]
        known = self._patiently(lambda: self._decisions.recall(image_sha256, keys))
        recalled = tuple(verdict for verdict in known if verdict is not None)
        if len(recalled) == len(keys):
            self._observer.recalled(len(recalled))
            changes = {"request_id": request.request_id, "timings": {**timer.seconds}}
            return tuple(verdict.model_copy(update=changes) for verdict in recalled)
        return self._pipeline.moderate(
            content, request.policies, request_id=request.request_id, timer=timer, lane=lane
        )

    def _set_aside(
        self,
        submission: Submission,
        delivery: Delivery,
        error: ModerationError,
        message: Any,
        *,
        deaths: int,
    ) -> Outcome:
        """Quarantines a request, keeps what `quarantine retry` needs, returns what the log says."""
        reason = reason_of(error)
        if deaths >= self._settings.max_deliveries:
            reason = "deliveries"
        if not submission.reference_kind:  # it could not be read, so it cannot be sent again
            reason = "message"
        else:
            self._keep(message, submission, delivery)
        try:
            outcome = self._patiently(
                lambda: self._decisions.set_aside(
                    submission, reason, error, deliveries=deaths, retries=delivery.retries
                )
            )
        except LogUnavailable as unavailable:
            raise self._try_again(submission.request_id, unavailable) from unavailable
        if isinstance(outcome, Quarantined):
            self._observer.set_aside(outcome.reason, delivery)
        return outcome

    def _keep(self, message: Any, submission: Submission, delivery: Delivery) -> None:
        """Keeps in Redis what `quarantine retry` sends again."""
        accepted = Accepted(message, delivery.queue, submission.sent_at or time.time())
        name, most = submission.request_id, self._settings.quarantine_bytes
        self._quietly(lambda: self._registry.set_aside(name, accepted, most_bytes=most))

    def _try_again(self, request_id: str, error: ModerationError) -> TryAgain:
        self._quietly(lambda: self._registry.give_back(request_id, self._worker))
        self._observer.retried(error)
        return TryAgain(error)

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Returns what the log answers; waits for a database that is down.

        Waiting here, and not in the queue, the worker takes no more requests than it can hold.

        Raises:
            LogUnavailable: it stayed away too long, or the worker is to end.
        """
        # Well before the request would be taken for lost.
        deadline = time.monotonic() + self._settings.visibility_timeout_seconds / 2
        pause = _FIRST_PAUSE
        while True:
            try:
                return ask()
            except LogUnavailable:
                if self._stopping() or time.monotonic() + pause > deadline:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _quietly(self, note: Callable[[], T]) -> T | None:
        """Notes something in Redis; without it the request is answered all the same.

        What is not struck off is sent again, and answered from the log.
        """
        try:
            return note()
        except redis.RedisError as error:
            log.warning("Redis does not take notes (%s)", type(error).__name__)
            return None
