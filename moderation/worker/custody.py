"""The requests that a worker has in hand, and how they leave: answered, put back or postponed.

What a Redis that is away does not note comes back by itself, after the visibility timeout.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

import redis
from celery.utils.time import get_exponential_backoff_interval

from moderation.errors import EncoderFailed, ModerationError
from moderation.queue.hand import Hand
from moderation.queue.packed_message import pack_again
from moderation.worker.budget import ByteBudget
from moderation.worker.intake import Intake
from moderation.worker.job import Job
from moderation.worker.metrics import Metrics
from moderation.worker.suspects import Suspects

log = logging.getLogger(__name__)

#: Longest pause before a retry, in seconds; far below any visibility timeout.
LONGEST_BACKOFF = 30
#: How long a worker takes nothing after its encoder has failed, in seconds.
_BROKEN_SECONDS = 5.0
#: How long a wait lasts until it looks whether a signal came, in seconds.
_STEP_SECONDS = 0.2


class Custody:
    """The jobs in hand; each that enters leaves once."""

    def __init__(
        self,
        hand: Hand,
        intake: Intake,
        budget: ByteBudget,
        metrics: Metrics,
        begin: Callable[[Sequence[Job]], None],
    ) -> None:
        """Holds nothing yet.

        Args:
            hand: where the requests stand in Redis.
            intake: learns that there is room again.
            budget: what leaves holds nothing of it any more.
            metrics: count what is in hand.
            begin: is given a suspect when its turn has come.
        """
        self._hand, self._intake, self._metrics = hand, intake, metrics
        self._budget, self._begin = budget, begin
        self._jobs: dict[str, Job] = {}
        self._suspects = Suspects()
        self._changed = threading.Condition()

    def enter(self, jobs: Sequence[Job]) -> None:
        """Takes jobs into custody."""
        with self._changed:
            self._jobs.update((job.tag, job) for job in jobs)
        self._metrics.in_hand(len(jobs))

    def without_early(self, jobs: Sequence[Job]) -> list[Job]:
        """Returns the jobs whose time has come; the others wait for it in Redis."""
        now = time.time()
        for job in jobs:
            if job.request.begins_at > now:
                self._postpone(job, job.request.begins_at - now, job.request.arrival.retries)
        return [job for job in jobs if job.request.begins_at <= now]

    def without_suspects(self, jobs: Sequence[Job]) -> list[Job]:
        """Returns the jobs that can be tried now; a suspect waits while another one is tried."""
        waiting = [job for job in jobs if self._suspects.must_wait(job)]
        if waiting:
            self._note(lambda: self._hand.hold([job.tag for job in waiting]))
        return [job for job in jobs if job not in waiting]

    def leave(self, jobs: Sequence[Job]) -> None:
        """Lets jobs go that have ended here; the next suspect may begin then."""
        self._forget(jobs)
        for job in jobs:
            suspect = self._suspects.ended(job)
            while suspect is not None and not self._is_still_held(suspect):
                self._forget([suspect])
                suspect = self._suspects.ended(suspect)
            if suspect is not None:
                self._begin([suspect])

    def _forget(self, jobs: Sequence[Job]) -> None:
        with self._changed:
            gone = [job for job in jobs if self._jobs.pop(job.tag, None) is not None]
            self._changed.notify_all()
        for job in gone:
            self._budget.hold(job.tag, 0)
        self._metrics.in_hand(-len(gone))
        self._intake.left(len(gone), sum(job.message_bytes for job in gone))

    def _is_still_held(self, suspect: Job) -> bool:
        """Whether a suspect is begun here; one that waited too long may be another worker's."""
        try:
            return self._hand.begin(suspect.tag)
        except (redis.RedisError, OSError):
            return True

    def put_back(self, jobs: Sequence[Job], error: ModerationError) -> None:
        """Puts jobs back into their queues: a part is away that no answer can do without."""
        for _ in jobs:
            self._metrics.retried(error)
        self._note(lambda: self._hand.put_back([job.tag for job in jobs]))
        self.leave(jobs)

    def retry_later(self, job: Job, error: ModerationError) -> None:
        """Puts a job where it waits for its next try, the longer the more tries there were."""
        self._metrics.retried(error)
        if isinstance(error, EncoderFailed):
            self._intake.rest(_BROKEN_SECONDS)
        retries = job.request.arrival.retries
        pause = get_exponential_backoff_interval(1, retries, LONGEST_BACKOFF, True)
        self._postpone(job, pause, retries + 1)

    def _postpone(self, job: Job, seconds: float, retries: int) -> None:
        envelope = job.request.envelope
        assert envelope is not None  # without one it cannot be read, and is not tried again
        message = pack_again(envelope, job.queue, retries=retries)
        self._note(lambda: self._hand.postpone(job.tag, message, seconds))
        self.leave([job])

    def wait_until_empty(self) -> None:
        """Returns once all jobs have left; suspects that wait for their turn are put back."""
        waiting = self._suspects.give_up()
        self._note(lambda: self._hand.put_back([job.tag for job in waiting]))
        self.leave(waiting)
        with self._changed:
            while self._jobs:
                self._changed.wait(_STEP_SECONDS)

    def abandon(self) -> None:
        """Puts all jobs back, whatever threads do with them now; the process is to end."""
        self._note(lambda: self._hand.put_back(list(self._jobs)))

    def _note(self, note: Callable[[], object]) -> None:
        try:
            note()
        except (redis.RedisError, OSError) as error:
            log.warning("what is in hand comes back later: %s", error)
