"""The images of requests, from wherever they are, within the bytes that a worker may hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from moderation.worker.answering import Answerer, FetchedImage
from moderation.worker.budget import ByteBudget
from moderation.worker.job import Job
from moderation.worker.log_lines import about
from moderation.worker.stage import Stage

#: How many files one thread reads one after the other: that takes so little that a thread for each
#: would cost more.
_READ_TOGETHER = 8


class Fetching:
    """The stages that fetch: one for what is in a file or in the message, one for all else."""

    def __init__(
        self,
        answerer: Answerer,
        budget: ByteBudget,
        *,
        threads: int,
        go_on: Callable[[list[FetchedImage]], None],
        failed: Callable[[Job, Exception], None],
    ) -> None:
        """Prepares to fetch.

        Args:
            answerer: fetches one image.
            budget: of the bytes that requests hold.
            threads: images that are fetched at the same time, at most.
            go_on: is given requests with their images.
            failed: is given each request whose image cannot be had, and why.
        """
        self._answerer, self._budget = answerer, budget
        self._go_on, self._failed = go_on, failed
        self._near = Stage("read", self._fetch_each, threads=threads, most=_READ_TOGETHER)
        self._far = Stage("fetch", self._fetch_each, threads=threads)
        self.stages = (self._near, self._far)

    def put(self, jobs: Sequence[Job]) -> None:
        """Adds jobs to those whose images are to be fetched."""
        near = [self._answerer.is_at_hand(job) for job in jobs]
        pairs = list(zip(jobs, near, strict=True))
        self._near.put((job, job.queue) for job, is_near in pairs if is_near)
        self._far.put((job, job.queue) for job, is_near in pairs if not is_near)

    def _fetch_each(self, batch: list[Job]) -> None:
        found: list[FetchedImage] = []
        for job in batch:
            size = self._answerer.largest_content(job)
            if not self._budget.reserves_now(job.tag, size):
                self._go_on(found)  # otherwise what waits here would keep the room it waits for
                found = []
                self._budget.reserve(job.tag, size)
            if (fetched := self._fetched(job)) is not None:
                found.append(fetched)
        self._go_on(found)

    def _fetched(self, job: Job) -> FetchedImage | None:
        """Returns a request with its image; None if it failed."""
        try:
            with about(job.id):
                fetched = self._answerer.fetched(job)
        except Exception as error:
            self._failed(job, error)
            return None
        self._budget.hold(job.tag, len(fetched.content))
        return fetched
