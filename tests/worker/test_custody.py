"""How requests leave a worker: a suspect that another worker has by now is not tried here too."""

from __future__ import annotations

import time
from contextlib import closing

import redis

from moderation.embedded_servers import EmbeddedRedis
from moderation.messages import QUEUES, TASK_NAME
from moderation.queue.celery_app import connect
from moderation.queue.hand import Hand
from moderation.queue.keys import BYTES, HAND, HELD, LATER
from moderation.queue.packed_message import pack_message, packed_size
from moderation.settings import load_settings
from moderation.worker.arrival import read_arrived
from moderation.worker.budget import ByteBudget
from moderation.worker.custody import Custody
from moderation.worker.intake import Intake
from moderation.worker.job import Job
from moderation.worker.metrics import Metrics

INTERACTIVE = QUEUES["interactive"]
#: Two workers died with it.
SUSPICIOUS = 6


def put(connection: redis.Redis, name: str, task: str = TASK_NAME, strikes: int = 0) -> int:
    """Puts a message on its queue as a host of ours does; returns what it counts."""
    packed = pack_message(task, name, {}, INTERACTIVE, strikes=strikes, counted=True)
    connection.incrby(BYTES, packed_size(packed))
    connection.lpush(INTERACTIVE, packed)
    return packed_size(packed)


def test_a_suspect_that_went_back_while_it_waited_is_left_to_others(server: EmbeddedRedis) -> None:
    settings = load_settings(broker_url=server.url)
    with (
        connect(settings) as connection,
        closing(Hand(connection, settings, worker="w", queues=["interactive"])) as hand,
    ):
        connection.flushall()
        for name in ("first", "second", "third"):
            put(connection, name, strikes=SUSPICIOUS)
        jobs = [
            Job(taken.tag, read_arrived(taken, largest=10_000), len(taken.raw))
            for taken in hand.take(10, 10_000)
        ]
        begun: list[Job] = []
        intake = Intake(hand, lambda _: None, most=10, most_bytes=1, stopping=lambda: True)
        custody = Custody(hand, intake, ByteBudget(1), Metrics(), begun.extend)
        custody.enter(jobs)
        assert custody.without_suspects(jobs) == jobs[:1]
        assert connection.scard(HELD) == 2
        hand.put_back([jobs[1].tag])  # as another worker does after the visibility timeout
        custody.leave(jobs[:1])
        assert begun == jobs[2:]
        assert connection.scard(HELD) == 0
        custody.leave(jobs[2:])
        custody.wait_until_empty()
        assert connection.llen(INTERACTIVE) == 1
        assert connection.hlen(HAND) == 2  # what was only let go here


def test_a_message_that_cannot_be_read_counts_no_more_once_it_is_settled(
    server: EmbeddedRedis,
) -> None:
    settings = load_settings(broker_url=server.url)
    with (
        connect(settings) as connection,
        closing(Hand(connection, settings, worker="w", queues=["interactive"])) as hand,
    ):
        connection.flushall()
        connection.zadd(LATER["bulk"], {"something else": time.time() + 3600})
        size = put(connection, "odd", task="odd.task")
        connection.incrby(BYTES, 7)
        [taken] = hand.take(10, 10_000)
        request = read_arrived(taken, largest=10_000)
        assert request.envelope is None
        assert request.counted_bytes == size
        connection.lpush(INTERACTIVE, pack_message("odd.task", "theirs", {}, INTERACTIVE))
        [other] = hand.take(10, 10_000)
        assert read_arrived(other, largest=10_000).counted_bytes == 0
