"""Worker side: the model once per process, thin tasks.

The pool is of threads: fetching and decoding wait or release the interpreter, and the one encoder
thread of `batching` computes. A pool of processes would hold the model once each.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from celery import Celery, Task

from moderation.broker import QUEUES, create_app, node_name
from moderation.errors import RequestError, TransientError
from moderation.fetch import Fetcher
from moderation.messages import TASK_NAME, ModerationResponse, parse_request
from moderation.pipeline import Pipeline, Timer
from moderation.settings import Settings

log = logging.getLogger(__name__)

#: Longest pause before a retry, in seconds; far below any visibility timeout.
LONGEST_BACKOFF = 30


def create_worker_app(settings: Settings, pipeline: Pipeline, fetcher: Fetcher) -> Celery:
    """Returns the Celery app with its task, ready to be run by a worker."""
    app = create_app(settings)
    app.task(
        _moderate_with(pipeline, fetcher),
        name=TASK_NAME,
        bind=True,
        autoretry_for=(TransientError,),
        max_retries=settings.max_retries,
        retry_backoff=1,
        retry_backoff_max=LONGEST_BACKOFF,
        retry_jitter=True,
        # Errors of the request are answers, not failures of the worker: no traceback in its log.
        throws=(RequestError, TransientError),
        # The result is long and its place is Redis, not the log.
        resultrepr_maxsize=0,
    )
    return app


def _moderate_with(
    pipeline: Pipeline, fetcher: Fetcher
) -> Callable[[Task, dict[str, Any]], dict[str, Any]]:
    def moderate(task: Task, request: dict[str, Any]) -> dict[str, Any]:
        """Parses a request, fetches its image, returns the response as plain JSON."""
        timer = Timer()
        if isinstance(request, dict):  # a host may leave its id to Celery
            request = {"request_id": task.request.id, **request}
        parsed = parse_request(request)
        pipeline.refuse_unknown(parsed.policies)
        with timer.step("fetch"):
            content = fetcher.fetch(parsed.image)
        verdicts = pipeline.moderate(
            content, parsed.policies, request_id=parsed.request_id, timer=timer
        )
        log.info(
            "%s: %s", parsed.request_id, ", ".join(f"{v.policy.id} {v.action}" for v in verdicts)
        )
        response = ModerationResponse(request_id=parsed.request_id, verdicts=verdicts)
        return response.model_dump(mode="json")

    return moderate


def run_worker(settings: Settings, pipeline: Pipeline, *, queues: Iterable[str], name: str) -> int:
    """Serves the queues until told to stop; returns the exit code.

    SIGTERM and the first Ctrl-C let it answer what it has in hand; requests that it has not taken
    stay in the queue. What a killed worker had goes to another after the visibility timeout.
    """
    # httpx logs whole URLs, and theirs may carry passwords and signatures.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with pipeline, Fetcher(settings) as fetcher:
        app = create_worker_app(settings, pipeline, fetcher)
        worker = app.Worker(
            pool_cls="threads",
            concurrency=settings.concurrency,
            queues=[QUEUES[name] for name in queues],
            loglevel=settings.log_level.upper(),
            # Workers do not need to know each other; on Redis that talk costs more than it gives.
            without_mingle=True,
            without_gossip=True,
            without_heartbeat=True,
            hostname=node_name(name),
            quiet=True,
        )
        worker.start()
        return int(worker.exitcode or 0)
