"""Celery's tasks of a worker, thin; what they do is in `answering` and `pipeline`.

They run in a pool of threads: fetching and decoding wait or release the interpreter, and the one
encoder thread of `batching` computes. In a pool of processes each would hold the model.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from typing import Any, NoReturn

from celery import Celery, Task
from celery.exceptions import Reject
from celery.utils.time import get_exponential_backoff_interval

from moderation.decision_log.records import Answer, Quarantined
from moderation.errors import ModerationError, RequestError, TransientError
from moderation.images.fetch.fetcher import Fetcher
from moderation.messages import (
    EMBED_TASK_NAME,
    TASK_NAME,
    EmbeddingRequest,
    EmbeddingResponse,
    ModerationResponse,
)
from moderation.queue.celery_app import create_app
from moderation.scoring.conditions import found_oddities
from moderation.scoring.pipeline import Pipeline
from moderation.settings import Settings
from moderation.worker.answering import Answerer, TryAgain
from moderation.worker.arrival import Arrival, arrival_of_task, read_arrived_request
from moderation.worker.log_lines import about
from moderation.worker.metrics import Metrics
from moderation.worker.outages import AWAY

TaskBody = Callable[..., dict[str, Any]]

log = logging.getLogger(__name__)

#: Longest pause before a retry, in seconds; far below any visibility timeout.
LONGEST_BACKOFF = 30

#: How often a result is written again while Redis is away: minutes, with Celery's back-off.
_RESULT_RETRIES = 60


def create_app_with_tasks(
    settings: Settings, pipeline: Pipeline, fetcher: Fetcher, answerer: Answerer, metrics: Metrics
) -> Celery:
    """Returns the Celery app with its tasks, ready to be run by a worker."""
    app = create_app(settings)
    # A host that looks for a verdict learns at once that Redis is away; a worker waits for it.
    app.conf.update(result_backend_always_retry=True, result_backend_max_retries=_RESULT_RETRIES)
    # The answerer decides how often a request is tried.
    _register_task(app, TASK_NAME, _moderation_task(answerer, metrics), max_retries=None)
    _register_task(
        app,
        EMBED_TASK_NAME,
        _embedding_task(pipeline, fetcher, metrics),
        autoretry_for=(TransientError,),
        max_retries=settings.max_retries,
        retry_backoff=1,
        retry_backoff_max=LONGEST_BACKOFF,
        retry_jitter=True,
    )
    return app


def _register_task(app: Celery, name: str, answer: TaskBody, **retry: Any) -> None:
    """Makes a function that answers requests a task of the app, under the rules of all tasks."""
    app.task(
        answer,
        name=name,
        bind=True,
        # Not a task of the other apps of this process: it answers with its own parts.
        shared=False,
        # An error of the request is an answer, not a failure of the worker: it logs no traceback.
        throws=(ModerationError,),
        # The result is long, and belongs in Redis and not in the log.
        resultrepr_maxsize=0,
        **retry,
    )


def _moderation_task(answerer: Answerer, metrics: Metrics) -> TaskBody:
    def moderate(task: Task, *others: Any, request: Any = None, **named: Any) -> dict[str, Any]:
        """Returns the response as plain JSON; raises the error of a request in quarantine."""
        with about(str(task.request.id)), metrics.in_hand():
            # Arguments that no host of ours sends make it a message that cannot be read.
            message, arrival = None if others or named else request, arrival_of_task(task)
            answer = _final_answer_of_task(task, answerer, message, arrival)
            return _response_of_task(answer, arrival.queue)

    return moderate


def _final_answer_of_task(task: Task, answerer: Answerer, message: Any, arrival: Arrival) -> Answer:
    """Returns the final answer; a request without one is put back, whatever the reason."""
    try:
        return answerer.answer(read_arrived_request(message, arrival))
    except TryAgain as again:
        _try_task_again(task, again.error)
    except RequestError:  # its id belongs to another request, which has its own answer
        raise
    except Exception:
        log.exception("a request could not be finished")
        answerer.pause_answering()
        raise Reject("a request could not be finished", requeue=True) from None


def _response_of_task(answer: Answer, queue: str) -> dict[str, Any]:
    """Logs a final answer and returns it as plain JSON; raises the error of one in quarantine."""
    if isinstance(answer, Quarantined):
        why = {"queue": queue, "reason": answer.reason, "quarantine_id": answer.quarantine_id}
        log.info("quarantined (%s): %s", answer.reason, answer.error.what, extra=why)
        raise answer.error
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
    response = ModerationResponse(request_id=answer.request_id, verdicts=answer.verdicts)
    return response.model_dump(mode="json")


def _try_task_again(task: Task, error: Exception) -> NoReturn:
    """Puts a request back: for later, or at once if it has waited for the log in vain."""
    if isinstance(error, AWAY):
        raise Reject(str(error), requeue=True) from None
    pause = get_exponential_backoff_interval(1, task.request.retries, LONGEST_BACKOFF, True)
    try:
        again = task.retry(exc=error, countdown=pause, throw=False)
    except Reject as failed:  # it could not be sent, and would be dropped
        raise Reject(str(failed.reason), requeue=True) from None
    raise again


def _embedding_task(pipeline: Pipeline, fetcher: Fetcher, metrics: Metrics) -> TaskBody:
    def embed(task: Task, request: dict[str, Any]) -> dict[str, Any]:
        """Parses a request, fetches its image, returns its features as plain JSON."""
        with about(str(task.request.id)), metrics.in_hand():
            arrival = arrival_of_task(task)
            if isinstance(request, dict):  # a host may leave the id to Celery, which names the task
                request = {"request_id": arrival.task_id, **request}
            parsed = EmbeddingRequest.read(request)
            model = pipeline.model(parsed.model)
            content = fetcher.fetch(parsed.image)
            made = pipeline.embed(content, model, queue=arrival.queue)
            log.info("%s: embedded", parsed.request_id)
            response = EmbeddingResponse(
                request_id=parsed.request_id,
                image_sha256=made.image_sha256,
                model=made.model,
                looking=made.looking.text,
                looks=len(made.features),
                features=base64.b64encode(made.features.astype("<f4").tobytes()),
                width=made.features.shape[1],
            )
            metrics.embedded(arrival)
            return response.model_dump(mode="json")

    return embed
