"""Lets a request out of quarantine, to be answered anew under the id that it had."""

from __future__ import annotations

import logging

import redis
from celery import Celery

from moderation.decision_log.log import DecisionLog
from moderation.decision_log.quarantine import Entry
from moderation.errors import RequestError
from moderation.queue.celery_app import broker_errors
from moderation.queue.recovery import send_again
from moderation.queue.registry import Registry
from moderation.settings import Settings

log = logging.getLogger(__name__)


def release(
    entry: Entry, decisions: DecisionLog, registry: Registry, app: Celery, settings: Settings
) -> None:
    """Sends a request again that was set aside, and opens its place in the log for a new answer.

    In this order a stop in between loses nothing: what is accepted again is answered from the log
    until its place there is open.

    Raises:
        RequestError: it is not in quarantine any more, or not kept.
        QueueFull: too many requests wait. BrokerUnavailable: Redis does not answer, or is full; the
        request stays in quarantine then.
    """
    if entry.state != "open":
        raise RequestError(f"it was {entry.state} already", entry.id, "Look at `quarantine list`")
    accepted = registry.kept(entry.request_id)
    if accepted is None:
        raise RequestError(
            "its request is not kept in Redis any more",
            entry.id,
            "Submit it again; MODERATION_QUARANTINE_BYTES says how much is kept",
        )
    with broker_errors(settings):
        registry.accept(
            entry.request_id,
            accepted,
            most_waiting=settings.max_queue_length,
            most_bytes=settings.max_queue_bytes,
        )
        # Else a host that looks again gets the old error.
        app.backend.delete(app.backend.get_key_for_task(entry.request_id))
    decisions.release(entry.id)
    try:
        # Before it is sent: it may be set aside again at once, and then is to be kept.
        registry.forget(entry.request_id)
        send_again(registry, entry.request_id, accepted)
    except redis.RedisError as error:  # it is accepted, so it is answered all the same
        log.warning(
            "sent by a worker in %s s, since Redis does not take it now: %s",
            settings.visibility_timeout_seconds,
            error,
            extra={"request_id": entry.request_id},
        )
