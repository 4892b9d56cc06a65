"""Requests in quarantine, kept in Redis up to a number of bytes, so that they can be sent again.

The decision log has the reason for each; an image that was sent as bytes does not belong there.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import redis

from moderation.messages import QUEUES, TASK_NAME, QueueName
from moderation.queue import submission_scripts as scripts
from moderation.queue.acceptance import refuse_full
from moderation.queue.keys import LATER, QUARANTINED, room_keys
from moderation.queue.packed_message import pack_message, packed_size
from moderation.settings import Settings

log = logging.getLogger(__name__)

#: After how long a request that is sent again comes back although its sender stopped half-way.
_INSURED_SECONDS = 60


class KeptRequest(NamedTuple):
    """A request as plain JSON, its queue, and when it was sent first (Unix)."""

    request: Any
    queue: QueueName
    sent_at: float

    def packed(self) -> str:
        """Returns the text that Redis keeps."""
        return json.dumps(self._asdict())

    @classmethod
    def unpacked(cls, content: bytes) -> KeptRequest:
        """Returns what was kept, from the text that Redis keeps.

        Raises:
            ValueError: it is of another version.
        """
        found = json.loads(content)
        try:
            request, queue, sent_at = found["request"], found["queue"], found["sent_at"]
        except (KeyError, TypeError) as error:
            raise ValueError("this is not a request that was kept") from error
        if queue not in QUEUES:
            raise ValueError(f"there is no queue {queue!r}")
        return cls(request, queue, sent_at)


class KeptRequests:
    """The requests that are kept; every method raises redis.RedisError."""

    def __init__(self, connection: redis.Redis) -> None:
        self._redis = connection
        script = connection.register_script
        self._keep, self._forget = script(scripts.KEEP), script(scripts.FORGET)
        self._enter, self._make_due = script(scripts.ENTER_LATER), script(scripts.MAKE_DUE)

    def keep(self, request_id: str, kept: KeptRequest, *, most_bytes: int) -> bool:
        """Keeps a request; False if it is too large. The oldest make room."""
        arguments: list[str | int] = [request_id, kept.packed(), most_bytes]
        return bool(self._keep(QUARANTINED, arguments))

    def kept(self, request_id: str) -> KeptRequest | None:
        """Returns a request; None if it is not kept any more.

        Raises:
            ValueError: it is of another version.
        """
        content = cast(Any, self._redis.hget(QUARANTINED[0], request_id))
        return KeptRequest.unpacked(content) if content else None

    def forget(self, request_id: str) -> None:
        """Removes a request; the decision log still knows of it."""
        self._forget(QUARANTINED, [request_id])

    def send_again(
        self,
        request_id: str,
        kept: KeptRequest,
        settings: Settings,
        *,
        release: Callable[[], object],
    ) -> None:
        """Sends a kept request again under its id, to be answered again.

        A stop at any point loses nothing: the request comes by itself after a minute, and is
        answered from the log until that is open.

        Args:
            request_id: its id.
            kept: the request.
            settings: of the host, with the limits of the queue.
            release: removes the old result, and opens the place of the request in the log.

        Raises:
            QueueFull: too many requests wait; nothing was changed.
        """
        request, queue, sent_at = kept
        message = pack_message(TASK_NAME, request_id, request, QUEUES[queue], sent_at, counted=True)
        most = settings.max_queue_length, settings.max_queue_bytes
        entered = self._enter(
            [*room_keys(queue), LATER[queue]],
            [message, packed_size(message), *most, _INSURED_SECONDS],
        )
        refuse_full(int(cast(int, entered)), queue, settings)
        release()
        try:
            # Before it is due: it may be quarantined again at once, and must then be kept.
            self.forget(request_id)
            self._make_due([LATER[queue]], [message])
        except redis.RedisError as error:
            log.warning(
                "a worker takes it within %s s, since Redis does not take it now: %s",
                _INSURED_SECONDS,
                error,
                extra={"request_id": request_id},
            )
