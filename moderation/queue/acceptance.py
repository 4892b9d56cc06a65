"""A host's request -> on its queue, or not; the host knows which.

Redis does it in one step, and the message is stored once. A host is left in doubt only if the reply
of Redis is lost. Then the request is looked for, and at last taken back; if a worker has it by
then, it was submitted after all.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

import redis
from celery import Celery

from moderation.errors import BrokerUnavailable, ModerationError, QueueFull
from moderation.messages import QUEUES, TASK_NAME, ModerationRequest, QueueName
from moderation.queue import submission_scripts as scripts
from moderation.queue.celery_app import broker_errors
from moderation.queue.keys import WITHDRAWN, room_keys
from moderation.queue.packed_message import pack_message, packed_size
from moderation.settings import Settings

log = logging.getLogger(__name__)

#: Longer than a command may take to arrive that was sent on a connection which was then lost.
_WITHDRAWN_MILLISECONDS = 3_600_000

#: What became of a request that is taken back: a worker has it; it is back; it never came, or is
#: answered.
_Withdrawn = Literal["begun", "taken back", "not there"]
_WITHDRAWN_AS: tuple[_Withdrawn, ...] = get_args(_Withdrawn)


def accept_request(
    request: ModerationRequest,
    queue: QueueName,
    connection: redis.Redis,
    app: Celery,
    settings: Settings,
) -> None:
    """Puts a request on its queue; returns once Redis has it, after one round trip.

    Args:
        request: of a host.
        queue: one of `QUEUES`.
        connection: to the broker's Redis.
        app: of the host, to look for an answer.
        settings: of the host.

    Raises:
        QueueFull: too many requests wait.
        BrokerUnavailable: Redis does not answer, or is full. Nobody decides the request, unless
            Redis could not be asked again either; in that case a warning is logged.
    """
    content = request.model_dump(mode="json", exclude_none=True)
    name = request.request_id
    message = pack_message(TASK_NAME, name, content, QUEUES[queue], time.time(), counted=True)
    sending = _Sending(connection, settings, queue, name, message)
    with broker_errors(settings):
        pool = connection.connection_pool
        line: Any = pool.get_connection()  # what fails here was not sent
        try:
            entered = sending.send_once(line)
        except redis.ResponseError:  # it was refused
            raise
        except BaseException as error:  # Ctrl-C too
            line.disconnect()  # it may still bring the reply
            if not isinstance(error, redis.RedisError):
                _settle_doubt(sending, app, settings)
                raise
            entered = None
        finally:
            pool.release(line)
    if entered is None:
        entered = _send_in_doubt(sending, app, settings)
    refuse_full(entered, queue, settings)


def refuse_full(entered: int, queue: QueueName, settings: Settings) -> None:
    """Raises QueueFull if a script did not accept a message, for the limit that it gives."""
    if entered == 0:
        raise _full_queue(f"{settings.max_queue_length} requests wait", queue, "LENGTH")
    if entered == -1:
        raise _full_queue(
            f"requests of {settings.max_queue_bytes} bytes are submitted", queue, "BYTES"
        )


@dataclass(frozen=True)
class _Sending:
    """A message that is to lie on a queue, once."""

    connection: redis.Redis
    settings: Settings
    queue: QueueName
    name: str
    message: str = field(repr=False)

    def send_once(self, line: Any) -> int:
        """Sends the message on one connection, and never again; returns what the script says."""
        script = self.connection.register_script(scripts.ACCEPT)
        keys, arguments = self._keys, self._arguments("")
        try:
            line.send_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
            return int(line.read_response())
        except redis.exceptions.NoScriptError:  # nothing was done
            line.send_command("EVAL", scripts.ACCEPT, len(keys), *keys, *arguments)
            return int(line.read_response())

    def send_again(self) -> int:
        """Sends the message unless it is there; as often as redis-py tries."""
        send = self.connection.register_script(scripts.ACCEPT)
        return int(cast(int, send(self._keys, self._arguments(json.dumps(self.name)))))

    def withdraw(self) -> _Withdrawn:
        """Takes the message back, and bars it from coming late; returns what became of it."""
        withdraw = self.connection.register_script(scripts.WITHDRAW)
        size = packed_size(self.message)
        found = withdraw(
            self._keys, [self.message, size, json.dumps(self.name), _WITHDRAWN_MILLISECONDS]
        )
        return _WITHDRAWN_AS[cast(int, found)]

    @property
    def _keys(self) -> list[str]:
        return [*room_keys(self.queue), WITHDRAWN + self.name]

    def _arguments(self, name: str) -> list[str | int]:
        most = self.settings.max_queue_length, self.settings.max_queue_bytes
        return [self.message, packed_size(self.message), *most, name]


def _send_in_doubt(sending: _Sending, app: Celery, settings: Settings) -> int:
    """Sends what may have arrived, since no reply came; returns what the script says.

    Raises:
        BrokerUnavailable: still no reply came, and nobody has begun with the request.
    """
    try:
        with broker_errors(settings):
            return sending.send_again()
    except BaseException as error:
        is_back = _settle_doubt(sending, app, settings)
        if is_back or not isinstance(error, BrokerUnavailable):
            raise
    return 1


def _settle_doubt(sending: _Sending, app: Celery, settings: Settings) -> bool:
    """Takes a request back that may have arrived; returns whether nobody decides it."""
    try:
        with broker_errors(settings):
            found = sending.withdraw()
            if found == "not there":  # it may be answered by now
                return bool(app.backend.get_task_meta(sending.name)["status"] == "PENDING")
            return found == "taken back"
    except ModerationError:
        text = "Redis went away while this was sent: it may be decided all the same"
        log.warning(text, extra={"request_id": sending.name, "queue": sending.queue})
        return True


def _full_queue(what: str, queue: QueueName, limit: str) -> QueueFull:
    return QueueFull(
        f"{what} already",
        f"queue {queue}",
        "Send it again later, and fewer at a time; the operator: more workers, or "
        f"MODERATION_MAX_QUEUE_{limit}",
    )
