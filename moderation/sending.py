"""Puts requests on queues: what hosts do, and workers for requests that went missing."""

from __future__ import annotations

import time
from typing import Any

from celery import Celery

from moderation.broker import broker_errors
from moderation.settings import Settings

#: The header with the Unix time at which a request was sent. Workers pass over it, and Celery keeps
#: it when a request is retried: so its age is how long somebody has waited.
SENT_AT = "sent_at"


def send_request(
    app: Celery,
    settings: Settings,
    task_name: str,
    request_id: str,
    message: dict[str, Any],
    queue: str,
    sent_at: float | None = None,
) -> None:
    """Puts a request on a queue; returns once Redis has it.

    Args:
        app: of the host or worker.
        settings: its settings.
        task_name: what is asked for.
        request_id: names the task, and so the result.
        message: the request as plain JSON.
        queue: Celery's name of the queue.
        sent_at: when it was sent first, in Unix seconds; None is now.

    Raises:
        BrokerUnavailable: Redis does not answer.
    """
    with broker_errors(settings):
        app.send_task(
            task_name,
            kwargs={"request": message},
            # Celery repeats the arguments in a header for its log: the image must not be there.
            kwargsrepr=f"request {request_id}",
            task_id=request_id,
            queue=queue,
            headers={SENT_AT: round(time.time() if sent_at is None else sent_at, 3)},
        )
