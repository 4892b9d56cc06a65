"""Answers as hosts find them in Redis: what Celery itself would write for a task, in batches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import redis
from celery import Celery

from moderation.decision_log.records import Answer, Decided, Quarantined
from moderation.errors import ModerationError
from moderation.messages import EmbeddingResponse, ModerationResponse
from moderation.queue.hand import Hand, Settled
from moderation.settings import Settings

#: The key of a result, and the result.
Result = tuple[str, bytes]
#: What a host gets in the end.
Reply = Answer | EmbeddingResponse | ModerationError


class Results:
    """Makes results, and writes them where they lie in another Redis than the queues."""

    def __init__(self, app: Celery, settings: Settings) -> None:
        self._backend = app.backend
        self._expires = settings.result_expires_seconds
        broker, results = settings.broker_url, settings.result_backend_url
        self._elsewhere = results.get_secret_value() != broker.get_secret_value()

    def of(self, task_id: str, reply: Reply) -> Result:
        """Returns the result that a host finds: a response, or the error that it is raised."""
        if isinstance(reply, Decided):
            reply = ModerationResponse(request_id=reply.request_id, verdicts=reply.verdicts)
        if isinstance(reply, ModerationResponse | EmbeddingResponse):
            return self._packed_result(task_id, "SUCCESS", reply.model_dump_json())
        error = reply.error if isinstance(reply, Quarantined) else reply
        told = json.dumps(self._backend.prepare_exception(error))
        return self._packed_result(task_id, "FAILURE", told)

    def _packed_result(
        self, task_id: str, status: Literal["SUCCESS", "FAILURE"], result: str
    ) -> Result:
        meta = {
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

    def settle(self, hand: Hand, settled: Sequence[Settled]) -> None:
        """Writes results, and strikes their requests off what is in hand, in this order.

        Raises:
            redis.RedisError: Redis does not answer, or is full; all of it can be done again.
        """
        if self._elsewhere:
            self._write([each.result for each in settled if each.result])
            settled = [each._replace(result=None) for each in settled]
        hand.settle(settled, expires_seconds=self._expires)

    def _write(self, results: Sequence[Result]) -> None:
        """Writes results in one round trip, as Celery's backend does."""
        client: redis.Redis = self._backend.client
        with client.pipeline(transaction=False) as pipe:
            for key, value in results:
                pipe.setex(key, self._expires, value)
                pipe.publish(key, value)
            pipe.execute()
