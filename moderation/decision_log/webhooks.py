"""Final answers as rows of the outbox: what is to be sent to whom."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from moderation.decision_log.records import Answer, Decided
from moderation.messages import ModerationResponse


def outbox_rows(outcome: Answer, endpoints: Iterable[str], now: datetime) -> list[dict[str, Any]]:
    """Returns a row for each endpoint, all due now."""
    payload = _payload(outcome, now)
    return [
        {
            "id": f"msg_{uuid.uuid4().hex}",
            "request_id": outcome.request_id,
            "endpoint": endpoint,
            "payload": payload,
            "created_at": now,
            "attempts": 0,
            "next_attempt_at": now,
        }
        for endpoint in dict.fromkeys(endpoints)
    ]


def _payload(outcome: Answer, now: datetime) -> str:
    """Returns the JSON that is signed and sent; docs/callbacks.md shows it."""
    decided = isinstance(outcome, Decided)
    return json.dumps(
        {
            "type": "moderation.decided" if decided else "moderation.quarantined",
            "timestamp": now.isoformat().replace("+00:00", "Z"),
            "data": _data(outcome),
        },
        separators=(",", ":"),
    )


def _data(outcome: Answer) -> dict[str, Any]:
    if isinstance(outcome, Decided):
        response = ModerationResponse(request_id=outcome.request_id, verdicts=outcome.verdicts)
        return response.model_dump(mode="json")
    error = outcome.error
    return {
        "request_id": outcome.request_id,
        "reason": outcome.reason,
        "error": {
            "type": type(error).__name__,
            "what": error.what,
            "where": error.where,
            "remedy": error.remedy,
        },
    }
