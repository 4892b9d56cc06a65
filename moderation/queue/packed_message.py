"""A request -> the message that lies on a queue, as Celery and kombu would write it.

It is written here, since a host enters a request and puts it on the queue in one step of Redis,
which Celery cannot. `envelope` reads it.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from typing import Any

#: The header with the Unix time at which a request was sent. Celery passes it over, and keeps it
#: when a request is retried, so that the age of a message is how long somebody has waited.
SENT_AT = "sent_at"


def pack_message(
    task_name: str,
    request_id: str,
    request: dict[str, Any],
    queue: str,
    sent_at: float | None = None,
) -> str:
    """Returns the packed message that asks for a task.

    Args:
        task_name: what is asked for.
        request_id: names the task, and so the result.
        request: the request as plain JSON.
        queue: Celery's name of the queue.
        sent_at: when it was sent first, in Unix seconds; None is now.
    """
    body = json.dumps([[], {"request": request}, {}])
    headers = {
        "lang": "py",
        "task": task_name,
        "id": request_id,
        "root_id": request_id,
        "retries": 0,
        "eta": None,
        SENT_AT: round(time.time() if sent_at is None else sent_at, 3),
    }
    properties = {
        "correlation_id": request_id,
        "delivery_mode": 2,
        "delivery_tag": str(uuid.uuid4()),
        "delivery_info": {"exchange": "", "routing_key": queue},
        "priority": 0,
        "body_encoding": "base64",
    }
    message = {
        "body": base64.b64encode(body.encode()).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": headers,
        "properties": properties,
    }
    return json.dumps(message)
