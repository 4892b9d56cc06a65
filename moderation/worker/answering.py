"""One request -> its one final answer: a verdict, or quarantine with the reason. Knows no Celery.

However often a request is delivered, its first answer in the decision log is the answer. What may
succeed later is handed back; what cannot, or was tried often enough, is quarantined.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import redis

from moderation.decision_log.log import DecisionLog
from moderation.decision_log.records import Answer, Decided, Quarantined
from moderation.errors import (
    EncoderFailed,
    ModerationError,
    RequestError,
    TransientError,
)
from moderation.images.fetch.fetcher import Fetcher
from moderation.images.rendition import RenditionFile
from moderation.images.rendition_folder import RenditionFolder
from moderation.messages import Verdict, strictest_action
from moderation.queue.registry import Accepted, Registry
from moderation.scoring.pipeline import Pipeline
from moderation.scoring.served import ServedPolicy
from moderation.scoring.timer import Timer
from moderation.settings import Settings
from moderation.worker.arrival import ArrivedRequest
from moderation.worker.metrics import Metrics
from moderation.worker.outages import AWAY, Outages
from moderation.worker.quarantine import deaths_of_workers, fault_of_worker, quarantine_reason

log = logging.getLogger(__name__)
T = TypeVar("T")

#: A request that this many workers died of is suspicious; suspects are tried one at a time.
_SUSPICIOUS = 2
#: How long a worker pauses after its encoder has failed, in seconds.
_BROKEN_SECONDS, _PAUSE = 5.0, 0.1


def may_answer_later(error: Exception) -> bool:
    """Whether the next try may give an answer: the world outside failed, or the program did."""
    return isinstance(error, TransientError) or not isinstance(error, ModerationError)


class TryAgain(Exception):
    """The request is to be taken again later; `error` says why."""

    def __init__(self, error: ModerationError) -> None:
        super().__init__(error)
        self.error = error


@dataclass(eq=False, repr=False)
class Answerer:
    """Answers requests from many threads.

    Attributes:
        settings: limits and numbers of tries.
        pipeline: decides.
        fetcher: gets the images.
        decisions: where answers are kept for good.
        registry: of requests that are not final.
        metrics: count what happens.
        worker: the name of this process among those that ever were.
        stopping: whether the worker has been told to end; then nothing is waited for.
        renditions: where the pictures that were judged are written, if they are.
    """

    settings: Settings
    pipeline: Pipeline
    fetcher: Fetcher
    decisions: DecisionLog
    registry: Registry
    metrics: Metrics
    worker: str
    stopping: Callable[[], bool]
    renditions: RenditionFolder | None = None
    _one_suspect: threading.Lock = field(default_factory=threading.Lock, init=False)
    _outages: Outages = field(init=False)

    def __post_init__(self) -> None:
        # Well before a request would be taken for lost.
        self._outages = Outages(self.settings.visibility_timeout_seconds / 2, self.stopping)

    def answer(self, request: ArrivedRequest) -> Answer:
        """Returns the final answer to a request, once the log has it.

        Raises:
            TryAgain: it has none yet. RequestError: its id belongs to another request.
        """
        try:
            answer = self._known_answer(request) or self._first_answer(request)
        except AWAY as error:
            self.metrics.retried(error)
            raise TryAgain(error) from error
        except RequestError:  # the other request has its own answer
            self._settle_answered(request)
            raise
        self._settle_answered(request)
        return answer

    def pause_answering(self) -> None:
        """Waits for some seconds, so that a worker that is broken does not take all requests."""
        until = time.monotonic() + _BROKEN_SECONDS
        while not self.stopping() and time.monotonic() < until:
            time.sleep(_PAUSE)

    def _known_answer(self, request: ArrivedRequest) -> Answer | None:
        """Returns the answer that a request has already."""
        name, digest = request.submission.request_id, request.submission.request_sha256
        known = self._outages.of_log(lambda: self.decisions.answer(name, digest))
        if known is not None:
            self.metrics.redelivered()
        return known

    def _first_answer(self, request: ArrivedRequest) -> Answer:
        """Returns the answer to a request that had none when it was taken."""
        with self._taken_to_answer(request) as deaths:
            if deaths < _SUSPICIOUS:
                return self._tried_answer(request, deaths)
        # When a worker dies, everything that it had in hand is suspected. So a suspect is tried
        # while no other is, and those that wait for it are not noted as in hand.
        self._give_back_unanswered(request)
        with self._one_suspect, self._taken_to_answer(request) as deaths:
            return self._tried_answer(request, deaths)

    @contextmanager
    def _taken_to_answer(self, request: ArrivedRequest) -> Iterator[int]:
        """Notes a request as in hand, and given back if the block fails; yields its deaths."""
        name, queue = request.submission.request_id, request.arrival.queue
        deaths = self._note_answering(lambda: self.registry.take(name, queue, self.worker))
        try:
            yield deaths or 0
        except BaseException:
            self._give_back_unanswered(request)
            raise

    def _tried_answer(self, request: ArrivedRequest, deaths: int) -> Answer:
        """Returns the answer to a request in hand; one that cannot be decided is quarantined."""
        if deaths >= self.settings.max_deliveries:
            return self._quarantined_answer(request, deaths_of_workers(deaths), deaths)
        try:
            return self._decided_answer(request)
        except AWAY:
            raise
        except Exception as error:
            if not isinstance(error, ModerationError):
                log.exception("the program failed on a request")
            shown = error if isinstance(error, ModerationError) else fault_of_worker(error)
            if may_answer_later(error) and request.arrival.retries < self.settings.max_retries:
                self.metrics.retried(shown)
                if isinstance(shown, EncoderFailed):
                    self.pause_answering()
                raise TryAgain(shown) from error
            return self._quarantined_answer(request, shown, deaths)

    def _decided_answer(self, request: ArrivedRequest) -> Answer:
        """Fetches, decides, and returns what the log then says."""
        if isinstance(request.parsed, RequestError):
            raise request.parsed
        timer = Timer()
        policies = self.pipeline.served(request.parsed.policies)
        with timer.step("fetch"):
            content = self.fetcher.fetch(request.parsed.image)
        verdicts = self._answer_verdicts(request, policies, content, timer)
        bases = [policy.basis for policy in policies]
        with timer.step("log"):
            answer = self._outages.of_log(
                lambda: self.decisions.decide(request.submission, bases, verdicts)
            )
        self.metrics.stepped(timer.seconds)
        if isinstance(answer, Decided):
            self.metrics.decided(answer.verdicts, request.arrival)
        return answer

    def _answer_verdicts(
        self,
        request: ArrivedRequest,
        policies: Sequence[ServedPolicy],
        content: bytes,
        timer: Timer,
    ) -> tuple[Verdict, ...]:
        """Returns the verdicts on an image: those in the log if it has all, otherwise new ones."""
        request_id = request.submission.request_id
        image_sha256 = hashlib.sha256(content).hexdigest()
        keys = [policy.basis.key for policy in policies]
        known = self._outages.of_log(lambda: self.decisions.recall(image_sha256, keys))
        recalled = self._recalled_verdicts(known)
        if recalled is not None:
            self.metrics.recalled(len(recalled))
            changes = {"request_id": request_id, "timings": {**timer.seconds}}
            return tuple(verdict.model_copy(update=changes) for verdict in recalled)
        return self.pipeline.moderate(
            content,
            policies,
            request_id=request_id,
            timer=timer,
            queue=request.arrival.queue,
            image_sha256=image_sha256,
            publish=self._publish if self.renditions else None,
        )

    def _recalled_verdicts(self, known: Sequence[Verdict | None]) -> tuple[Verdict, ...] | None:
        """Returns the verdicts that the log has, if it has all and their rendition is there."""
        recalled = tuple(verdict for verdict in known if verdict is not None)
        if len(recalled) < len(known):
            return None
        folder, named = self.renditions, {verdict.rendition for verdict in recalled}
        if folder is None or strictest_action(recalled) == "block":
            return tuple(verdict.model_copy(update={"rendition": None}) for verdict in recalled)
        rendition = named.pop()
        if named or rendition is None:  # another policy blocked the image, or a writer changed
            return None
        name = rendition.name
        return recalled if self._outages.of_folder(lambda: folder.has(name)) else None

    def _publish(self, file: RenditionFile) -> None:
        """Writes a rendition; waits for a folder that is away as for the log."""
        if (folder := self.renditions) is not None:
            self._outages.of_folder(lambda: folder.write(file))

    def _quarantined_answer(
        self, request: ArrivedRequest, error: ModerationError, deaths: int
    ) -> Answer:
        """Quarantines a request, with what a retry needs; returns what the log says."""
        reason, arrival = quarantine_reason(error), request.arrival
        if deaths >= self.settings.max_deliveries:
            reason = "deliveries"
        if isinstance(request.parsed, RequestError):  # so it cannot be sent again
            reason = "message"
        else:
            accepted = Accepted(request.message, arrival.queue, arrival.sent_at or time.time())
            name, most = request.submission.request_id, self.settings.quarantine_bytes
            self._note_answering(lambda: self.registry.quarantine(name, accepted, most_bytes=most))
        answer = self._outages.of_log(
            lambda: self.decisions.quarantine(
                request.submission, reason, error, deliveries=deaths, retries=arrival.retries
            )
        )
        if isinstance(answer, Quarantined):
            self.metrics.quarantined(answer.reason, arrival)
        return answer

    def _settle_answered(self, request: ArrivedRequest) -> None:
        self._note_answering(lambda: self.registry.settle(request.submission.request_id))

    def _give_back_unanswered(self, request: ArrivedRequest) -> None:
        name = request.submission.request_id
        self._note_answering(lambda: self.registry.give_back(name, self.worker))

    def _note_answering(self, note: Callable[[], T]) -> T | None:
        """Notes something in Redis; if that fails, the request is answered all the same.

        A request that is not struck off is sent again, and answered from the log.
        """
        try:
            return note()
        except redis.RedisError as error:
            log.warning("Redis does not take notes (%s)", type(error).__name__)
            return None
