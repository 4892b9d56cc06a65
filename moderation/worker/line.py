"""The stages of a worker, from a message in a queue to its answer, each for a batch at a time.

    intake -> fetch -> recall -> decode -> encode -> decide (-> publish) -> reply

What fails, fails one request: it is tried again later, or answered with its error.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol, Self, TypeVar

from moderation.decision_log.records import Verdicts
from moderation.errors import ModerationError
from moderation.queue.envelope import UnreadableMessage, largest_message
from moderation.queue.hand import Hand, Taken
from moderation.scoring.sighted import SeenImages
from moderation.settings import Settings
from moderation.worker.answering import Answerer, EncodedImage, FetchedImage
from moderation.worker.arrival import read_arrived, unreadable_arrival
from moderation.worker.budget import ByteBudget
from moderation.worker.custody import Custody
from moderation.worker.fetching import Fetching
from moderation.worker.intake import Intake
from moderation.worker.job import Job
from moderation.worker.log_lines import about
from moderation.worker.metrics import Metrics
from moderation.worker.outages import AWAY
from moderation.worker.quarantine import fault_of_worker
from moderation.worker.replies import End, Finished, Replies
from moderation.worker.results import TaskResults
from moderation.worker.stage import Stage

log = logging.getLogger(__name__)

#: How many renditions are written at the same time.
_PUBLISHERS = 8
#: How long a worker takes nothing after a request could not be finished, in seconds.
_BROKEN_SECONDS = 5.0


class _HasJob(Protocol):
    """What a stage works on."""

    @property
    def job(self) -> Job:
        """Whose request it is."""


Item = TypeVar("Item", bound=_HasJob | Job)


class _Encoding(NamedTuple):
    """A request whose image went through the encoder, or failed there."""

    job: Job
    seen: Future[SeenImages]


class _Decided(NamedTuple):
    """A request with its verdicts, and what they rest on."""

    seen: EncodedImage
    outcome: Verdicts


class Line:
    """A context manager: inside it, the stages take requests and answer them."""

    def __init__(
        self,
        settings: Settings,
        answerer: Answerer,
        results: TaskResults,
        hand: Hand,
        metrics: Metrics,
    ) -> None:
        self._answerer, self._metrics = answerer, metrics
        most, size = settings.concurrency, settings.in_hand_bytes
        self._largest = largest_message(settings.max_image_bytes)
        self._budget, self._pixels = ByteBudget(size), ByteBudget(size)
        self._intake = Intake(
            hand, self._arrived, most=most, most_bytes=size, stopping=answerer.stopping
        )
        self._custody = Custody(hand, self._intake, self._budget, metrics, self._begin)
        expires = settings.result_expires_seconds
        self._replies = Replies(answerer, results, hand, metrics, self._custody, expires)
        self._fetching = Fetching(
            answerer, self._budget, threads=most, go_on=self._go_on, failed=self._failed
        )
        self._recall = Stage("recall", self._recall_batch, most=most)
        self._decode = Stage("decode", self._decode_one, threads=answerer.pipeline.decoders)
        self._decide = Stage("decide", self._decide_batch, most=most)
        self._publish = Stage("publish", self._publish_one, threads=_PUBLISHERS)
        self._reply = Stage("reply", self._reply_batch, most=most)
        looking = (*self._fetching.stages, self._recall, self._decode)
        self._stages: tuple[Stage[Any], ...] = (
            *looking,
            self._decide,
            self._publish,
            self._reply,
        )

    def __enter__(self) -> Self:
        self._intake.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def finish(self) -> None:
        """Takes nothing more, answers what is in hand, and ends the line's threads."""
        self._intake.stop()
        self._custody.wait_until_empty()
        for stage in self._stages:
            stage.close()

    def abandon(self) -> None:
        """Puts what is in hand back into the queues; the process is to end now."""
        self._custody.abandon()

    def _arrived(self, taken: Sequence[Taken]) -> None:
        """Begins what was taken together, unless it must wait."""
        jobs = [self._job(each) for each in taken]
        self._custody.enter(jobs)
        try:
            self._begin_unknown(self._custody.without_early(jobs))
        except Exception as error:  # none may stay, or the worker would wait for it for ever
            for job in jobs:
                self._give_up(job, error)

    def _begin_unknown(self, jobs: list[Job]) -> None:
        """Begins with jobs that have no answer yet; the others are answered."""
        logged = [job for job in jobs if not job.request.wants_features]
        try:
            known = self._answerer.known([job.request.submission for job in logged])
        except Exception as error:
            self._one_by_one(self._begin_unknown, jobs, error)
            return
        answered = [job for job in logged if job.id in known]
        for job in answered:
            if not isinstance(known[job.id], ModerationError):
                self._metrics.redelivered()
            self._end(job, known[job.id])
        self._begin(self._custody.without_suspects([job for job in jobs if job not in answered]))

    def _job(self, taken: Taken) -> Job:
        try:
            request = read_arrived(taken, largest=self._largest)
        except Exception:  # it would stay in hand for ever
            log.exception("the program failed on a message")
            request = unreadable_arrival(taken, UnreadableMessage("it makes the program fail"))
        return Job(taken.tag, request, len(taken.raw))

    def _begin(self, jobs: Sequence[Job]) -> None:
        """Lets jobs go to be fetched; those that can have no answer get their errors at once."""
        hopes = [(job, self._answerer.hopeless(job)) for job in jobs]
        good = [job for job, error in hopes if error is None]
        self._fetching.put(good)
        for job, error in hopes:
            if error is not None:
                self._failed(job, error)

    def _end(self, job: Job, end: End) -> None:
        self._reply.put([(Finished(job, end), job.queue)])

    def _failed(self, job: Job, error: BaseException) -> None:
        """Has a request that failed tried again, or ends it with the error."""
        if isinstance(error, AWAY):
            self._custody.put_back([job], error)
            return
        shown = error if isinstance(error, ModerationError) else fault_of_worker(error)
        if shown is not error:
            text = "the program failed on a request"
            log.error(text, exc_info=error, extra={"request_id": job.id})
        try:
            if self._answerer.may_try_again(job, error):
                self._custody.retry_later(job, shown)
            else:
                self._end(job, self._answerer.refused(job, shown))
        except Exception as failure:
            self._give_up(job, failure)

    def _go_on(self, found: list[FetchedImage]) -> None:
        """Passes on what was fetched; features are of no use to the log."""
        asked = [(each, each.job.queue) for each in found if not each.job.request.wants_features]
        self._recall.put(asked)
        self._decode.put(
            (each, each.job.queue) for each in found if each.job.request.wants_features
        )

    def _recall_batch(self, batch: list[FetchedImage]) -> None:
        try:
            outcomes = self._answerer.recalled(batch)
        except Exception as error:
            self._one_by_one(self._recall_batch, batch, error)
            return
        found = list(zip(batch, outcomes, strict=True))
        self._decode.put((each, each.job.queue) for each, outcome in found if outcome is None)
        for each, outcome in found:
            if outcome is not None:
                self._end(each.job, outcome)

    def _decode_one(self, batch: list[FetchedImage]) -> None:
        [fetched] = batch
        job = fetched.job
        try:
            with about(job.id):
                sighted = self._answerer.looked(fetched)
                self._budget.hold(job.tag, sighted.rendition_bytes)
                self._pixels.reserve(job.tag, sighted.pixel_bytes)
                began = time.perf_counter()
                seen = self._answerer.pipeline.encode(sighted, job.queue)
        except Exception as error:
            self._pixels.hold(job.tag, 0)
            self._failed(job, error)
            return
        seen.add_done_callback(lambda seen: self._encoded(_Encoding(job, seen), began))

    def _encoded(self, encoded: _Encoding, began: float) -> None:
        job = encoded.job
        self._pixels.hold(job.tag, 0)
        job.timer.add("encode", time.perf_counter() - began)
        self._decide.put([(encoded, job.queue)])

    def _decide_batch(self, batch: list[_Encoding]) -> None:
        seen = []
        for job, future in batch:
            if (error := future.exception()) is not None:
                self._failed(job, error)
            elif job.request.wants_features:
                self._end_embedding(EncodedImage(job, future.result()))
            else:
                seen.append(EncodedImage(job, future.result()))
        if seen:
            self._decide_seen(seen)

    def _end_embedding(self, encoded: EncodedImage) -> None:
        try:
            self._end(encoded.job, self._answerer.embedded(encoded))
        except Exception as error:
            self._failed(encoded.job, error)

    def _decide_seen(self, batch: list[EncodedImage]) -> None:
        try:
            outcomes = self._answerer.decided(batch)
        except Exception as error:
            self._one_by_one(self._decide_seen, batch, error)
            return
        for seen, outcome in zip(batch, outcomes, strict=True):
            if not isinstance(outcome, Verdicts):
                self._failed(seen.job, outcome)
            elif self._answerer.renditions is None:
                self._end(seen.job, outcome)
            else:
                self._publish.put([(_Decided(seen, outcome), seen.job.queue)])

    def _publish_one(self, batch: list[_Decided]) -> None:
        [(seen, outcome)] = batch
        try:
            with about(seen.job.id):
                published = self._answerer.published(seen, outcome)
        except Exception as error:
            self._failed(seen.job, error)
        else:
            self._end(seen.job, published)

    def _reply_batch(self, batch: list[Finished]) -> None:
        try:
            self._replies.finish(batch)
        except Exception as error:
            if len(batch) > 1:
                self._one_by_one(self._reply_batch, batch, error)
                return
            self._give_up(batch[0].job, error)

    def _give_up(self, job: Job, error: Exception) -> None:
        """Puts a request back that this worker can neither answer nor refuse."""
        text = "a request could not be finished"
        log.error(text, exc_info=error, extra={"request_id": job.id})
        self._intake.rest(_BROKEN_SECONDS)
        self._custody.put_back([job], fault_of_worker(error))

    def _one_by_one(
        self, work: Callable[[list[Item]], None], batch: list[Item], error: Exception
    ) -> None:
        """Works on each item of a batch that failed alone, so that none pays for another."""
        if len(batch) == 1 or isinstance(error, AWAY):
            for each in batch:
                self._failed(each if isinstance(each, Job) else each.job, error)
        else:
            for each in batch:
                work([each])
