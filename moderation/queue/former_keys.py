"""What workers of older versions noted as in hand, under keys that every Celery app shares.

This version has keys of its own. So that an upgrade loses nothing, it looks for notes of its own
queues among those of other apps, and leaves the others alone.
"""

from __future__ import annotations

import json
from typing import cast

import redis

from moderation.messages import QUEUES
from moderation.queue import scripts
from moderation.queue.celery_app import UNACKED, UNACKED_INDEX

#: kombu's own names.
_NOTES, _INDEX = "unacked", "unacked_index"


def take_over_former_keys(connection: redis.Redis) -> int:
    """Moves notes of our queues from former keys to ours, with their times; returns how many.

    They come back after the visibility timeout, like everything that a worker does not acknowledge.
    Redis itself looks into the notes, since they may hold images.

    Raises:
        redis.RedisError: Redis does not answer, or is full.
    """
    move = connection.register_script(scripts.TAKE_OVER)
    # A note is the message, its exchange and its queue, which end it.
    endings = [f', "", {json.dumps(queue)}]' for queue in QUEUES.values()]
    tags = connection.zscan_iter(_INDEX, count=1_000)
    keys = [_NOTES, _INDEX, UNACKED, UNACKED_INDEX]
    return sum(cast(int, move(keys, [tag, *endings])) for tag, _ in tags)
