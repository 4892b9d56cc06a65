"""Out of quarantine: a request is sent again under its id, and answered again."""

from __future__ import annotations

from celery import Celery

from moderation.decision_log.log import DecisionLog
from moderation.decision_log.quarantine import QuarantinedRequest
from moderation.errors import RequestError
from moderation.queue.celery_app import broker_errors
from moderation.queue.kept_requests import KeptRequests
from moderation.settings import Settings


def release_quarantined(
    entry: QuarantinedRequest,
    decisions: DecisionLog,
    requests: KeptRequests,
    app: Celery,
    settings: Settings,
) -> None:
    """Sends a request in quarantine again under its id, and opens its place in the log.

    Raises:
        RequestError: it is not in quarantine any more, or Redis does not hold it any more.
        QueueFull: too many requests wait. BrokerUnavailable: Redis does not answer, or is full; the
        request stays in quarantine then.
    """
    if entry.state != "open":
        raise RequestError(f"it was {entry.state} already", entry.id, "Look at `quarantine list`")

    def release() -> None:
        # Otherwise a host that looks again gets the old error.
        app.backend.delete(app.backend.get_key_for_task(entry.request_id))
        decisions.release(entry.id)

    with broker_errors(settings):
        kept = requests.kept(entry.request_id)
        if kept is None:
            raise RequestError(
                "its request is not kept in Redis any more",
                entry.id,
                "Submit it again; MODERATION_QUARANTINE_BYTES says how much is kept",
            )
        requests.send_again(entry.request_id, kept, settings, release=release)
