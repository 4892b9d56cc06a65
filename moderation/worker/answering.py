"""Batches of requests -> their final answers: verdicts, or quarantine with the reason. No threads.

However often a request is delivered, its first answer in the decision log is the answer. What may
succeed later is tried again; what cannot, or was tried often enough, is quarantined.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import redis

from moderation.decision_log.log import DecisionLog
from moderation.decision_log.records import Answer, Outcome, Refusal, Submission, Verdicts
from moderation.errors import ModerationError, RequestError, TransientError
from moderation.images.fetch.fetcher import Fetcher
from moderation.images.rendition import RenditionFile
from moderation.images.rendition_folder import RenditionFolder
from moderation.messages import (
    EmbeddingRequest,
    EmbeddingResponse,
    ModerationRequest,
    Verdict,
    strictest_action,
)
from moderation.queue.kept_requests import KeptRequest, KeptRequests
from moderation.scoring.pipeline import Pipeline
from moderation.scoring.publication import published_verdicts
from moderation.scoring.served import ServedPolicy
from moderation.scoring.sighted import SeenImages, Sighted
from moderation.settings import Settings
from moderation.worker.job import Job
from moderation.worker.metrics import Metrics
from moderation.worker.outages import Outages
from moderation.worker.quarantine import deaths_of_workers, quarantine_reason

log = logging.getLogger(__name__)


class FetchedImage(NamedTuple):
    """A request whose image is here."""

    job: Job
    content: bytes
    image_sha256: str


class EncodedImage(NamedTuple):
    """A request whose image was encoded."""

    job: Job
    seen: SeenImages


def may_answer_later(error: BaseException) -> bool:
    """Whether the next try may give an answer: the world outside failed, or the program did."""
    return isinstance(error, TransientError) or not isinstance(error, ModerationError)


@dataclass(eq=False, repr=False)
class Answerer:
    """What a worker does with requests in hand, one step at a time and each for a batch.

    Attributes:
        settings: limits and numbers of tries.
        pipeline: decides.
        fetcher: gets the images.
        decisions: where answers are kept for good.
        kept: where quarantined requests are kept, to be sent again.
        metrics: count what happens.
        stopping: whether the worker has been told to end; then nothing is waited for.
        renditions: where the pictures that were judged are written, if they are.
    """

    settings: Settings
    pipeline: Pipeline
    fetcher: Fetcher
    decisions: DecisionLog
    kept: KeptRequests
    metrics: Metrics
    stopping: Callable[[], bool]
    renditions: RenditionFolder | None = None
    _outages: Outages = field(init=False)

    def __post_init__(self) -> None:
        # Well before a request would be taken for lost.
        self._outages = Outages(self.settings.visibility_timeout_seconds / 2, self.stopping)

    def known(self, submissions: Sequence[Submission]) -> dict[str, Answer | RequestError]:
        """Returns the answers that requests have already, by their ids."""
        if not submissions:
            return {}
        return self._outages.of_log(lambda: self.decisions.answers(submissions))

    def hopeless(self, job: Job) -> ModerationError | None:
        """Returns why a request can have no verdict, before anything is done; None if it can."""
        asked = job.request.parsed
        if job.deaths >= self.settings.max_deliveries:
            return deaths_of_workers(job.deaths)
        try:
            if isinstance(asked, EmbeddingRequest):
                self.pipeline.model(asked.model)
            elif isinstance(asked, ModerationRequest):
                self.pipeline.served(asked.policies)
        except RequestError as error:
            return error
        return asked if isinstance(asked, RequestError) else None

    def may_try_again(self, job: Job, error: BaseException) -> bool:
        """Whether a failed request is tried again: what failed may pass, or the program did."""
        features = job.request.wants_features
        passes = isinstance(error, TransientError) if features else may_answer_later(error)
        return passes and job.request.arrival.retries < self.settings.max_retries

    def is_at_hand(self, job: Job) -> bool:
        """Whether the image of a request is in a file or in its message, and not elsewhere."""
        return _asked(job).image.kind in ("path", "bytes")

    def largest_content(self, job: Job) -> int:
        """Returns how many bytes the image of a request may have."""
        content = _asked(job).image.bytes
        return self.settings.max_image_bytes if content is None else len(content)

    def fetched(self, job: Job) -> FetchedImage:
        """Returns a request with its image.

        Raises:
            ModerationError: the image cannot be fetched.
        """
        with job.timer.step("fetch"):
            content = self.fetcher.fetch(_asked(job).image)
        return FetchedImage(job, content, hashlib.sha256(content).hexdigest())

    def _served(self, job: Job) -> tuple[ServedPolicy, ...]:
        asked = _asked(job)
        assert isinstance(asked, ModerationRequest)
        return self.pipeline.served(asked.policies)

    def recalled(self, batch: Sequence[FetchedImage]) -> list[Verdicts | None]:
        """Returns the outcomes of requests whose decisions the log has; None for the others."""
        served = [self._served(each.job) for each in batch]
        asked = [
            (each.image_sha256, [policy.basis.key for policy in policies])
            for each, policies in zip(batch, served, strict=True)
        ]
        known = self._outages.of_log(lambda: self.decisions.recall(asked))
        return [
            self._recalled_outcome(each.job, policies, verdicts)
            for each, policies, verdicts in zip(batch, served, known, strict=True)
        ]

    def _recalled_outcome(
        self, job: Job, policies: Sequence[ServedPolicy], known: Sequence[Verdict | None]
    ) -> Verdicts | None:
        verdicts = self._recalled_verdicts(known)
        if not verdicts:
            return None
        self.metrics.recalled(len(verdicts))
        changes = {"request_id": job.id, "timings": {**job.timer.seconds}}
        own = tuple(verdict.model_copy(update=changes) for verdict in verdicts)
        return self._outcome(job, policies, own)

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

    def looked(self, fetched: FetchedImage) -> Sighted:
        """Returns what is seen of an image that was fetched.

        Raises:
            ModerationError: the image is refused, or no decoder can be had.
        """
        job, content, image_sha256 = fetched
        asked, pipeline = _asked(job), self.pipeline
        if isinstance(asked, EmbeddingRequest):
            model = pipeline.model(asked.model)
            return pipeline.look_for_embedding(content, model, job.timer, job.queue)
        policies = self._served(job)
        return pipeline.look(content, policies, job.timer, job.queue, image_sha256=image_sha256)

    def embedded(self, seen: EncodedImage) -> EmbeddingResponse:
        """Returns the response to a request for features."""
        asked = _asked(seen.job)
        assert isinstance(asked, EmbeddingRequest)
        made = self.pipeline.embedding(seen.seen, self.pipeline.model(asked.model))
        return EmbeddingResponse(
            request_id=asked.request_id,
            image_sha256=made.image_sha256,
            model=made.model,
            looking=made.looking.text,
            looks=len(made.features),
            features=base64.b64encode(made.features.astype("<f4").tobytes()),
            width=made.features.shape[1],
        )

    def decided(self, batch: Sequence[EncodedImage]) -> list[Verdicts | ModerationError]:
        """Returns the outcome of each request whose image was encoded, or what failed on it."""
        found = self.pipeline.verdicts(
            [each.seen for each in batch],
            [each.job.id for each in batch],
            [each.job.timer for each in batch],
        )
        return [
            verdicts
            if isinstance(verdicts, ModerationError)
            else self._outcome(each.job, each.seen.sighted.policies, verdicts)
            for each, verdicts in zip(batch, found, strict=True)
        ]

    def _outcome(
        self, job: Job, policies: Sequence[ServedPolicy], verdicts: tuple[Verdict, ...]
    ) -> Verdicts:
        return Verdicts(job.request.submission, [policy.basis for policy in policies], verdicts)

    def published(self, seen: EncodedImage, outcome: Verdicts) -> Verdicts:
        """Returns a decided outcome once its rendition is written, which its verdicts then name.

        Raises:
            RenditionsUnavailable: their folder is away.
        """
        file, verdicts = seen.seen.sighted.rendition, tuple(outcome.verdicts)
        verdicts = published_verdicts(verdicts, file, self._publish, seen.job.timer)
        return Verdicts(outcome.submission, outcome.bases, verdicts)

    def _publish(self, file: RenditionFile) -> None:
        """Writes a rendition; waits for a folder that is away as for the log."""
        if (folder := self.renditions) is not None:
            self._outages.of_folder(lambda: folder.write(file))

    def refused(self, job: Job, error: ModerationError) -> Refusal | ModerationError:
        """Returns the end of a request that gets no verdict, and keeps it to be sent again.

        A request for features ends with the error itself.
        """
        request, deaths = job.request, job.deaths
        if request.wants_features:
            return error
        reason = quarantine_reason(error)
        if deaths >= self.settings.max_deliveries:
            reason = "deliveries"
        if isinstance(request.parsed, RequestError):  # so it cannot be sent again
            reason = "message"
        else:
            self._keep(job)
        retries = request.arrival.retries
        return Refusal(request.submission, reason, error, deliveries=deaths, retries=retries)

    def _keep(self, job: Job) -> None:
        """Keeps a request for `quarantine retry`; one that cannot be kept is quarantined too."""
        request = job.request
        kept = KeptRequest(request.message, job.queue, request.arrival.sent_at or time.time())
        try:
            self.kept.keep(job.id, kept, most_bytes=self.settings.quarantine_bytes)
        except redis.RedisError as error:
            log.warning("Redis does not keep it (%s)", type(error).__name__)

    def recorded(self, outcomes: Sequence[Outcome]) -> list[Answer | RequestError]:
        """Returns what the log then says of requests, whose outcomes it has in one transaction.

        Raises:
            LogUnavailable, LogError: the log is away for too long.
        """
        return self._outages.of_log(lambda: self.decisions.record(outcomes)) if outcomes else []


def _asked(job: Job) -> ModerationRequest | EmbeddingRequest:
    """Returns what a request asks for, which is not hopeless."""
    asked = job.request.parsed
    assert not isinstance(asked, RequestError)
    return asked
