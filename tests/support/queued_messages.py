"""Messages of ours in the queues of a real Redis, and what is read back of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from moderation.messages import QUEUES, TASK_NAME, QueueName
from moderation.queue.envelope import Envelope, read_envelope
from moderation.queue.hand import Settled, Taken
from moderation.queue.packed_message import pack_message

MOST_BYTES = 10**9
#: Celery's name of what is kept for an id.
RESULT = "celery-task-meta-"


def packed(name: str, queue: QueueName = "interactive", size: int = 0, **options: Any) -> str:
    """Returns a message whose body holds at least so many bytes."""
    request = {"image": {"path": "x" * size}}
    given = {"sent_at": 1_700_000_000.0, "counted": True, **options}
    return pack_message(TASK_NAME, name, request, QUEUES[queue], **given)


def put(
    connection: Any, names: Iterable[str], queue: QueueName = "interactive", size: int = 0
) -> None:
    """Puts messages on a queue as a host does, the first one first."""
    for name in names:
        message = packed(name, queue, size)
        connection.incrby("evenhand.bytes", opened(message.encode()).size)
        connection.lpush(QUEUES[queue], message)


def opened(raw: bytes) -> Envelope:
    """Returns the envelope of a message."""
    return read_envelope(raw, largest=MOST_BYTES)


def names_of(taken: Iterable[Taken]) -> list[str]:
    """Returns the ids of what was taken."""
    return [opened(each.raw).id for each in taken]


def waiting(connection: Any, queue: QueueName = "interactive") -> list[tuple[str, int]]:
    """Returns ids and strikes of what waits in a queue, the next one first."""
    found = [opened(raw) for raw in reversed(connection.lrange(QUEUES[queue], 0, -1))]
    return [(envelope.id, envelope.strikes) for envelope in found]


def answered(taken: Taken, value: bytes = b"{}") -> Settled:
    """Returns what was taken, as answered."""
    envelope = opened(taken.raw)
    return Settled(taken.tag, envelope.size, (RESULT + envelope.id, value))
