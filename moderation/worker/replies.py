"""The end of the line: outcomes -> one transaction of the log -> answers to hosts, in one step."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence, Set
from typing import NamedTuple

import redis

from moderation.decision_log.records import (
    Answer,
    Decided,
    Outcome,
    Quarantined,
    Refusal,
    Verdicts,
)
from moderation.errors import BrokerUnavailable, RequestError
from moderation.messages import EmbeddingResponse
from moderation.queue.hand import Hand, Settled
from moderation.scoring.conditions import found_oddities
from moderation.worker.answering import Answerer
from moderation.worker.custody import Custody
from moderation.worker.job import Job
from moderation.worker.log_lines import about
from moderation.worker.metrics import Metrics
from moderation.worker.outages import AWAY
from moderation.worker.quarantine import fault_of_worker
from moderation.worker.results import Reply, Result, TaskResults

log = logging.getLogger(__name__)

#: Pauses between two tries to write results, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
#: How often results are tried that Redis refuses, so that others need not wait for ever.
_TRIES = 8
#: How Redis says that it is full.
_NO_MEMORY = "OOM"


#: What a request ends with: an outcome that is to be logged, or a reply at once.
End = Outcome | Reply


class Finished(NamedTuple):
    """A request, and what it ends with."""

    job: Job
    end: End


class Replies:
    """Logs outcomes and answers hosts."""

    def __init__(
        self,
        answerer: Answerer,
        results: TaskResults,
        hand: Hand,
        metrics: Metrics,
        custody: Custody,
        expires_seconds: int,
    ) -> None:
        """Prepares the last stage.

        Args:
            answerer: has the log.
            results: makes what hosts read.
            hand: strikes off what was answered.
            metrics: count what happens.
            custody: of the requests; those that were answered leave it.
            expires_seconds: how long results are kept.
        """
        self._answerer, self._results, self._hand = answerer, results, hand
        self._metrics, self._custody = metrics, custody
        self._expires = expires_seconds

    def finish(self, batch: Sequence[Finished]) -> None:
        """Logs what is to be logged, in one transaction, and answers all; then they leave."""
        outcomes = [(job, end) for job, end in batch if isinstance(end, Verdicts | Refusal)]
        replies = [(job, end) for job, end in batch if not isinstance(end, Verdicts | Refusal)]
        start = time.perf_counter()
        logged = self._logged(outcomes)
        seconds = time.perf_counter() - start
        replies += [(job, answer) for (job, _), answer in logged]
        if not self._answer_hosts(replies):
            error = BrokerUnavailable("Redis does not take results", "results", "Look at its log")
            self._custody.put_back([job for job, _ in replies], error)
            return
        self._custody.leave([job for job, _ in replies])
        for (job, outcome), answer in logged:
            self._count(job, outcome, answer, seconds)
        for job, reply in replies:
            if isinstance(reply, EmbeddingResponse):
                self._metrics.embedded(job.request.arrival)
            _log_reply(job, reply)

    def _logged(
        self, outcomes: Sequence[tuple[Job, Outcome]]
    ) -> list[tuple[tuple[Job, Outcome], Answer | RequestError]]:
        """Returns what the log says of requests; they are put back where it is away for long."""
        try:
            answers = self._answerer.recorded([outcome for _, outcome in outcomes])
        except AWAY as error:
            self._custody.put_back([job for job, _ in outcomes], error)
            return []
        return list(zip(outcomes, answers, strict=True))

    def _count(
        self, job: Job, outcome: Outcome, answer: Answer | RequestError, seconds: float
    ) -> None:
        """Counts an answer that was logged, which took so many seconds."""
        if isinstance(outcome, Verdicts):
            self._metrics.stepped({**job.timer.seconds, "log": seconds})
        if isinstance(answer, Decided) and isinstance(outcome, Verdicts):
            self._metrics.decided(answer.verdicts, job.request.arrival)
        elif isinstance(answer, Quarantined) and isinstance(outcome, Refusal):
            self._metrics.quarantined(answer.reason, job.request.arrival)

    def _settled(self, replies: Sequence[tuple[Job, Reply]]) -> list[Settled]:
        """Returns how requests are struck off, each with its result if somebody waits for one.

        Raises:
            redis.RedisError: it is not known whether an id has a result already.
        """
        answered = {job.id for job, reply in replies if not isinstance(reply, RequestError)}
        return [
            Settled(job.tag, job.request.counted_bytes, self._result_of_job(job, reply, answered))
            for job, reply in replies
        ]

    def _result_of_job(self, job: Job, reply: Reply, answered: Set[str]) -> Result | None:
        task_id = job.request.arrival.task_id
        if not task_id or self._belongs_to_another(job, reply, answered):
            return None
        try:
            return self._results.of(task_id, reply)
        except Exception as error:
            log.exception("a result cannot be written", extra={"request_id": job.id})
            return self._results.of(task_id, fault_of_worker(error))

    def _belongs_to_another(self, job: Job, reply: Reply, answered: Set[str]) -> bool:
        """Whether a result under this id is the answer to another request, which stays."""
        if job.request.wants_features or not isinstance(reply, RequestError):
            return False
        return job.id in answered or self._results.is_written(job.request.arrival.task_id)

    def _answer_hosts(self, replies: Sequence[tuple[Job, Reply]]) -> bool:
        """Writes the results and strikes the requests off, in one step; returns whether it did.

        It waits for a Redis that is away, unless the worker is to end: what is not struck off comes
        to another worker, which finds the answer in the log.
        """
        pause, tries, stopping = _FIRST_PAUSE, _TRIES, self._answerer.stopping
        settled: list[Settled] | None = None
        while True:
            try:
                settled = settled or self._settled(replies)
                self._hand.settle(settled, expires_seconds=self._expires)
                return True
            except redis.ResponseError as error:
                log.error("Redis refuses %s answers: %s", len(replies), error)
                if settled and self._answer_each(settled):
                    return True
                tries -= 1
            except (redis.RedisError, OSError) as error:
                log.error("%s answers wait for Redis: %s", len(replies), error)
            if not tries or stopping():
                return False
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _answer_each(self, settled: Sequence[Settled]) -> bool:
        """Answers each host alone, since one result may be what Redis refuses.

        Returns whether all are struck off: so is, without its result, what is refused for itself.
        """
        refused = [each for each in settled if len(settled) == 1 or self._refusal(each)]
        if len(refused) == len(settled):
            return False
        # Redis takes the others by now, which may be new.
        refusals = [(each, error) for each in refused if (error := self._refusal(each))]
        for _, error in refusals:  # Redis is full, or away, which is about no request
            if _NO_MEMORY in str(error) or not isinstance(error, redis.ResponseError):
                return False
        for (tag, size, _), error in refusals:
            log.error("only the decision log has an answer, since Redis refuses it: %s", error)
            self._refusal(Settled(tag, size, None))
        return True

    def _refusal(self, settled: Settled) -> Exception | None:
        """Returns why Redis does not take one result; None if it did."""
        try:
            self._hand.settle([settled], expires_seconds=self._expires)
        except (redis.RedisError, OSError) as error:
            return error
        return None


def _log_reply(job: Job, reply: Reply) -> None:
    """Logs a line on what a request ended with."""
    with about(job.id):
        if isinstance(reply, Decided):
            _log_decided(reply, job.queue)
        elif isinstance(reply, Quarantined):
            why = {"queue": job.queue, "reason": reply.reason, "quarantine_id": reply.quarantine_id}
            log.info("quarantined (%s): %s", reply.reason, reply.error.what, extra=why)
        elif isinstance(reply, EmbeddingResponse):
            log.info("%s: embedded", reply.request_id, extra={"queue": job.queue})
        else:
            log.info("refused: %s", reply.what, extra={"queue": job.queue})


def _log_decided(answer: Decided, queue: str) -> None:
    actions = {verdict.policy.id: verdict.action for verdict in answer.verdicts}
    decided = ", ".join(f"{policy} {action}" for policy, action in actions.items())
    oddities = sorted({name for each in answer.verdicts for name in found_oddities(each)})
    log.info(
        "%s: %s%s",
        answer.request_id,
        decided,
        f" ({', '.join(oddities)})" if oddities else "",
        extra={
            "queue": queue,
            "policies": [*actions],
            "actions": [*actions.values()],
            "oddities": oddities or None,
        },
    )
