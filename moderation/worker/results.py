"""Answers as hosts find them in Redis: what Celery itself would write for a task, in batches."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Literal

from celery import Celery

from moderation.decision_log.records import Answer, Decided, Quarantined
from moderation.errors import ModerationError
from moderation.messages import EmbeddingResponse, ModerationResponse

#: The key of a result, and the result.
Result = tuple[str, bytes]
#: What a host gets in the end.
Reply = Answer | EmbeddingResponse | ModerationError


class TaskResults:
    """Makes the results of tasks."""

    def __init__(self, app: Celery) -> None:
        self._backend = app.backend

    def of(self, task_id: str, reply: Reply) -> Result:
        """Returns the result that a host finds: a response, or the error that it is raised."""
        if isinstance(reply, Decided):
            response = ModerationResponse(request_id=reply.request_id, verdicts=reply.verdicts)
            return self._packed_result(task_id, "SUCCESS", response.model_dump_json())
        if isinstance(reply, EmbeddingResponse):
            return self._packed_result(task_id, "SUCCESS", reply.model_dump_json())
        error = reply.error if isinstance(reply, Quarantined) else reply
        told = json.dumps(self._backend.prepare_exception(error))
        return self._packed_result(task_id, "FAILURE", told)

    def _packed_result(
        self, task_id: str, status: Literal["SUCCESS", "FAILURE"], result: str
    ) -> Result:
        meta: dict[str, Any] = {
            "status": status,
            "traceback": None,
            "children": [],
            "date_done": datetime.now(UTC).isoformat(),
            "task_id": task_id,
        }
        text = f'{{"result": {result}, {json.dumps(meta)[1:]}'
        return self._result_key(task_id), text.encode()

    def _result_key(self, task_id: str) -> str:
        key = self._backend.get_key_for_task(task_id)
        return key.decode() if isinstance(key, bytes) else str(key)

    def is_written(self, task_id: str) -> bool:
        """Whether a task has a result already, of whatever request.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        return bool(self._backend.client.exists(self._result_key(task_id)))
