"""A host's request -> on its queue and among the accepted ones, or neither; the host knows which.

Redis does both in one step. A host is left in doubt only if the reply of Redis is lost: then the
request is taken back, and if a worker has it already, it was submitted after all.
"""

from __future__ import annotations

import logging
import time
from functools import partial

import redis
from celery import Celery

from moderation.errors import BrokerUnavailable, ModerationError, QueueFull, SettingsError
from moderation.messages import QUEUES, TASK_NAME, ModerationRequest, QueueName
from moderation.queue.celery_app import broker_errors
from moderation.queue.packed_message import pack_message
from moderation.queue.registry import Accepted, Registry, Withdrawn
from moderation.settings import Settings

log = logging.getLogger(__name__)


def accept_request(
    request: ModerationRequest,
    queue: QueueName,
    registry: Registry,
    app: Celery,
    settings: Settings,
) -> None:
    """Enters a request as accepted and puts it on its queue; returns once Redis has it.

    Args:
        request: of a host.
        queue: one of `QUEUES`.
        registry: of requests that are not final.
        app: of the host, to look for an answer.
        settings: of the host.

    Raises:
        QueueFull: too many requests wait.
        BrokerUnavailable: Redis does not answer, or is full. Nobody decides the request, unless
            Redis could not be asked again either; in that case a warning is logged.
    """
    name, sent_at = request.request_id, time.time()
    content = request.model_dump(mode="json", exclude_none=True)
    message = pack_message(TASK_NAME, name, content, QUEUES[queue], sent_at)
    with broker_errors(settings):
        registry.reach()  # what fails here was not sent
    try:
        with broker_errors(settings):
            registry.accept(
                name,
                Accepted(content, queue, sent_at),
                most_waiting=settings.max_queue_length,
                most_bytes=settings.max_queue_bytes,
                message=message,
            )
    except (QueueFull, SettingsError):  # nothing was entered
        raise
    except BaseException as error:  # Ctrl-C too
        lost = not isinstance(error.__cause__, redis.ResponseError)
        withdraw = partial(registry.withdraw, name, queue, message, lost=lost)
        try:
            with broker_errors(settings):
                is_back = _is_acceptance_undone(withdraw(), app, name, lost=lost)
        except ModerationError:
            is_back = True
            if lost:
                text = "Redis went away while this was sent: it may be decided all the same"
                log.warning(text, extra={"request_id": name, "queue": queue})
        if is_back or not isinstance(error, BrokerUnavailable):
            raise


def _is_acceptance_undone(found: Withdrawn, app: Celery, name: str, *, lost: bool) -> bool:
    """Whether nobody decides a request that was withdrawn."""
    if found == "not there" and lost:  # it may have been answered before the reply was missed
        return not _has_accepted_answer(app, name)
    return found != "in hand"


def _has_accepted_answer(app: Celery, name: str) -> bool:
    """Whether a request is answered already; a worker strikes it off, then writes the answer."""
    for pause in (0.0, 0.1, 0.3, 0.6):
        time.sleep(pause)
        if app.backend.get_task_meta(name)["status"] != "PENDING":
            return True
    return False
