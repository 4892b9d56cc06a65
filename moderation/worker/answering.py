"""One request -> its one final answer: a verdict, or quarantine with the reason. Knows no Celery.

However often a request is delivered, its first answer in the decision log is the answer. What can
be tried again is handed back; what cannot, or was tried often enough, is set aside.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import redis

from moderation.decision_log.log import DecisionLog
from moderation.decision_log.records import Answer, Decided, Quarantined, Submission
from moderation.errors import (
    EncoderFailed,
    LogError,
    LogUnavailable,
    ModerationError,
    RequestError,
)
from moderation.images.fetch.fetcher import Fetcher
from moderation.messages import ModerationRequest, Verdict
from moderation.messages.queues import QueueName
from moderation.queue.registry import Accepted, Registry
from moderation.scoring.pipeline import Pipeline, Timer
from moderation.scoring.verdict import Basis
from moderation.settings import Settings
from moderation.worker.delivery import Delivery, Observer, TryAgain
from moderation.worker.reasons import deadly, fault, may_pass, reason_of
from moderation.worker.submissions import request_of, submission_of

log = logging.getLogger(__name__)
T = TypeVar("T")

#: The decision log cannot be used: an operator mends it, and until then nothing is answered.
AWAY = (LogUnavailable, LogError)

#: So many deaths make a request suspicious, of which one is tried at a time.
_SUSPICIOUS = 2
#: How long a worker waits whose encoder failed, in seconds.
_BROKEN_SECONDS = 5.0

#: Pauses between two tries to reach the decision log, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


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
        self._one_suspect = threading.Lock()
        self._log_is_away = False

    def answer(self, message: Any, delivery: Delivery) -> Answer:
        """Returns the final answer to a request, a plain JSON value, once the log has it.

        Raises:
            TryAgain: it has none yet.
        """
        submission = submission_of(message, delivery.task_id, delivery.queue, delivery.sent_at)
        try:
            outcome = self._known(submission) or self._first_answer(message, submission, delivery)
        except AWAY as error:
            self._observer.retried(error)
            raise TryAgain(error) from error
        except RequestError:  # its id is that of another request, which has its own answer
            self._settle(submission)
            raise
        self._settle(submission)
        return outcome

    def pause(self) -> None:
        """Waits for some seconds, so that a worker that is broken does not take all requests."""
        until = time.monotonic() + _BROKEN_SECONDS
        while not self._stopping() and time.monotonic() < until:
            time.sleep(_FIRST_PAUSE)

    def _known(self, submission: Submission) -> Answer | None:
        """Returns the answer that a request has already."""
        name, digest = submission.request_id, submission.request_sha256
        known = self._patiently(lambda: self._decisions.outcome(name, digest))
        if known is not None:
            self._observer.redelivered()
        return known

    def _first_answer(self, message: Any, submission: Submission, delivery: Delivery) -> Answer:
        """Returns the answer to a request that had none when it was taken."""
        with self._taken(submission, delivery) as deaths:
            if deaths < _SUSPICIOUS:
                return self._tried(message, submission, delivery, deaths)
        # What else is in hand when a worker dies is suspected with it. So a suspect is tried while
        # no other is, and those that wait for it are not noted as in hand.
        self._give_back(submission)
        with self._one_suspect, self._taken(submission, delivery) as deaths:
            return self._tried(message, submission, delivery, deaths)

    @contextmanager
    def _taken(self, submission: Submission, delivery: Delivery) -> Iterator[int]:
        """Notes a request as in hand, and given back if the block fails; yields its deaths."""
        name, queue = submission.request_id, delivery.queue
        deaths = self._quietly(lambda: self._registry.take(name, queue, self._worker))
        try:
            yield deaths or 0
        except BaseException:
            self._give_back(submission)
            raise

    def _tried(
        self, message: Any, submission: Submission, delivery: Delivery, deaths: int
    ) -> Answer:
        """Returns the answer to a request in hand; one that cannot be decided is set aside."""
        if deaths >= self._settings.max_deliveries:
            return self._set_aside(submission, delivery, deadly(deaths), message, deaths=deaths)
        try:
            return self._decide(message, submission, delivery)
        except AWAY:
            raise
        except Exception as error:
            if not isinstance(error, ModerationError):
                log.exception("the program failed on a request")
            told = error if isinstance(error, ModerationError) else fault(error)
            if may_pass(error) and delivery.retries < self._settings.max_retries:
                self._observer.retried(told)
                if isinstance(told, EncoderFailed):
                    self.pause()
                raise TryAgain(told) from error
            return self._set_aside(submission, delivery, told, message, deaths=deaths)

    def _decide(self, message: Any, submission: Submission, delivery: Delivery) -> Answer:
        """Fetches, decides, and returns what the log then says."""
        timer = Timer()
        request = request_of(message, submission.request_id)
        self._pipeline.refuse_unknown(request.policies)
        with timer.step("fetch"):
            content = self._fetcher.fetch(request.image)
        bases = self._pipeline.bases(request.policies, frames=self._settings.frames)
        verdicts = self._verdicts(request, bases, content, timer, delivery.queue)
        with timer.step("log"):
            outcome = self._patiently(lambda: self._decisions.decide(submission, bases, verdicts))
        self._observer.stepped(timer.seconds)
        if isinstance(outcome, Decided):
            self._observer.decided(outcome.verdicts, delivery)
        return outcome

    def _verdicts(
        self,
        request: ModerationRequest,
        bases: tuple[Basis, ...],
        content: bytes,
        timer: Timer,
        queue: QueueName,
    ) -> tuple[Verdict, ...]:
        """Returns the verdicts that the log has on this image, else newly made ones."""
        image_sha256 = hashlib.sha256(content).hexdigest()
        keys = [basis.key for basis in bases]
        known = self._patiently(lambda: self._decisions.recall(image_sha256, keys))
        recalled = tuple(verdict for verdict in known if verdict is not None)
        if len(recalled) == len(keys):
            self._observer.recalled(len(recalled))
            changes = {"request_id": request.request_id, "timings": {**timer.seconds}}
            return tuple(verdict.model_copy(update=changes) for verdict in recalled)
        return self._pipeline.moderate(
            content,
            request.policies,
            request_id=request.request_id,
            timer=timer,
            queue=queue,
            image_sha256=image_sha256,
        )

    def _set_aside(
        self,
        submission: Submission,
        delivery: Delivery,
        error: ModerationError,
        message: Any,
        *,
        deaths: int,
    ) -> Answer:
        """Quarantines a request, keeps what `quarantine retry` needs, returns what the log says."""
        reason = reason_of(error)
        if deaths >= self._settings.max_deliveries:
            reason = "deliveries"
        if not submission.reference_kind:  # it could not be read, so it cannot be sent again
            reason = "message"
        else:
            self._keep(message, submission, delivery)
        outcome = self._patiently(
            lambda: self._decisions.set_aside(
                submission, reason, error, deliveries=deaths, retries=delivery.retries
            )
        )
        if isinstance(outcome, Quarantined):
            self._observer.set_aside(outcome.reason, delivery)
        return outcome

    def _keep(self, message: Any, submission: Submission, delivery: Delivery) -> None:
        """Keeps in Redis what `quarantine retry` sends again."""
        accepted = Accepted(message, delivery.queue, submission.sent_at or time.time())
        name, most = submission.request_id, self._settings.quarantine_bytes
        self._quietly(lambda: self._registry.set_aside(name, accepted, most_bytes=most))

    def _settle(self, submission: Submission) -> None:
        self._quietly(lambda: self._registry.settle(submission.request_id))

    def _give_back(self, submission: Submission) -> None:
        self._quietly(lambda: self._registry.give_back(submission.request_id, self._worker))

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Returns what the log answers; waits for a database that is down.

        Waiting here, and not in the queue, the worker takes no more requests than it can hold.

        Raises:
            LogUnavailable, LogError: it stayed away too long, or the worker is to end.
        """
        # Well before the request would be taken for lost.
        deadline = time.monotonic() + self._settings.visibility_timeout_seconds / 2
        pause = _FIRST_PAUSE
        while True:
            try:
                answer = ask()
            except AWAY as error:
                self._tell(away=error)
                if self._stopping() or time.monotonic() + pause > deadline:
                    raise
            else:
                self._tell(away=None)
                return answer
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _tell(self, *, away: ModerationError | None) -> None:
        """Logs a line when the decision log goes away, for all that wait, and when it is back."""
        if away is not None and not self._log_is_away:
            log.error("requests wait for the decision log: %s", away)
        if away is None and self._log_is_away:
            log.warning("the decision log answers again")
        self._log_is_away = away is not None

    def _quietly(self, note: Callable[[], T]) -> T | None:
        """Notes something in Redis; without it the request is answered all the same.

        What is not struck off is sent again, and answered from the log.
        """
        try:
            return note()
        except redis.RedisError as error:
            log.warning("Redis does not take notes (%s)", type(error).__name__)
            return None
