"""Worker side: the model once per process, thin tasks.

The pool is of threads: fetching and decoding wait or release the interpreter, and the one encoder
thread of `batching` computes. A pool of processes would hold the model once each.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from typing import Any

from celery import Celery, Task

from moderation.broker import create_app
from moderation.errors import RequestError, TransientError
from moderation.fetch import Fetcher
from moderation.lanes import Lane
from moderation.messages import (
    BULK_QUEUE,
    EMBED_TASK_NAME,
    TASK_NAME,
    EmbeddingResponse,
    ModerationResponse,
    parse_embedding_request,
    parse_request,
)
from moderation.pipeline import Pipeline, Timer
from moderation.settings import Settings

Answer = Callable[[Task, dict[str, Any]], dict[str, Any]]

log = logging.getLogger(__name__)

#: Longest pause before a retry, in seconds; far below any visibility timeout.
LONGEST_BACKOFF = 30

#: How often a result is written again while Redis is away: minutes, with Celery's back-off.
_RESULT_RETRIES = 60


def create_worker_app(settings: Settings, pipeline: Pipeline, fetcher: Fetcher) -> Celery:
    """Returns the Celery app with its tasks, ready to be run by a worker."""
    app = create_app(settings)
    # A host that looks for a verdict is told at once that Redis is away; a worker waits for it.
    app.conf.update(result_backend_always_retry=True, result_backend_max_retries=_RESULT_RETRIES)
    _register(app, TASK_NAME, _moderate_with(pipeline, fetcher), settings.max_retries)
    _register(app, EMBED_TASK_NAME, _embed_with(pipeline, fetcher), settings.max_retries)
    return app


def _register(app: Celery, name: str, answer: Answer, max_retries: int) -> None:
    """Makes a function that answers requests a task of the app, under the rules of all tasks."""
    app.task(
        answer,
        name=name,
        bind=True,
        autoretry_for=(TransientError,),
        max_retries=max_retries,
        retry_backoff=1,
        retry_backoff_max=LONGEST_BACKOFF,
        retry_jitter=True,
        # Errors of the request are answers, not failures of the worker: no traceback in its log.
        throws=(RequestError, TransientError),
        # The result is long and its place is Redis, not the log.
        resultrepr_maxsize=0,
    )


def _moderate_with(pipeline: Pipeline, fetcher: Fetcher) -> Answer:
    def moderate(task: Task, request: dict[str, Any]) -> dict[str, Any]:
        """Parses a request, fetches its image, returns the response as plain JSON."""
        timer = Timer()
        parsed = parse_request(_with_id(task, request))
        pipeline.refuse_unknown(parsed.policies)
        with timer.step("fetch"):
            content = fetcher.fetch(parsed.image)
        verdicts = pipeline.moderate(
            content,
            parsed.policies,
            request_id=parsed.request_id,
            timer=timer,
            lane=_lane(task),
        )
        log.info(
            "%s: %s", parsed.request_id, ", ".join(f"{v.policy.id} {v.action}" for v in verdicts)
        )
        response = ModerationResponse(request_id=parsed.request_id, verdicts=verdicts)
        return response.model_dump(mode="json")

    return moderate


def _embed_with(pipeline: Pipeline, fetcher: Fetcher) -> Answer:
    def embed(task: Task, request: dict[str, Any]) -> dict[str, Any]:
        """Parses a request, fetches its image, returns its feature as plain JSON."""
        timer = Timer()
        parsed = parse_embedding_request(_with_id(task, request))
        pipeline.refuse_unknown_model(parsed.model)
        with timer.step("fetch"):
            content = fetcher.fetch(parsed.image)
        made = pipeline.embed(content, parsed.model, timer=timer, lane=_lane(task))
        log.info("%s: embedded", parsed.request_id)
        response = EmbeddingResponse(
            request_id=parsed.request_id,
            image_sha256=made.image_sha256,
            model=made.model,
            feature=base64.b64encode(made.feature.astype("<f4").tobytes()),
            width=len(made.feature),
        )
        return response.model_dump(mode="json")

    return embed


def _with_id(task: Task, request: Any) -> Any:
    """Returns a request with an id: a host may leave it to Celery, which names the task by it."""
    return {"request_id": task.request.id, **request} if isinstance(request, dict) else request


def _lane(task: Task) -> Lane:
    """Returns the lane of the queue that a request came by."""
    came_by = (task.request.delivery_info or {}).get("routing_key")
    return "bulk" if came_by == BULK_QUEUE else "interactive"
