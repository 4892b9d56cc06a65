"""What a request costs as the queue grows, on a real Redis with Celery's own transport."""

from __future__ import annotations

import json
import statistics
import time
import uuid
from collections.abc import Generator, Iterable, Iterator
from typing import Any

import redis
from celery import Celery
from kombu import Consumer, Message

from benchmarks.growth_fit import Point
from moderation.client.client import Client
from moderation.local_servers import EmbeddedRedis
from moderation.messages import QUEUES
from moderation.queue.celery_app import connect, create_app
from moderation.queue.depth import look
from moderation.settings import load_settings

#: As long as the path of an upload may be: the request is then some 300 bytes of JSON.
PATH = "/srv/uploads/" + "tenant-0123456789/" * 9 + "photo.jpg"
POLICIES = ("weapons", "document-privacy")
_AT_A_TIME = 1000


def queue(sizes: Iterable[int], runs: int) -> Generator[Point, None, None]:
    """Yields what one request more costs where n wait already; sizes ascend."""
    with EmbeddedRedis() as server:
        settings = load_settings(
            broker_url=server.url, max_queue_length=10**6, max_queue_bytes=10**10
        )
        client, app = Client(settings), create_app(settings)
        with connect(settings) as connection, _Taker(app) as taker:
            client.submit(PATH, POLICIES)  # the first opens connections and declares the queues
            request = connection.lindex(QUEUES["interactive"], -1)
            taker.take()
            empty = _used(connection)
            for n in sizes:
                _fill(connection, request, n)
                yield Point("queue", "memory of Redis", n, _used(connection) - empty, "B")
                yield from _timed(client, taker, connection, n, 10 * runs)


def _timed(
    client: Client, taker: _Taker, connection: redis.Redis, n: int, runs: int
) -> Iterator[Point]:
    """Yields the medians of submitting, taking and looking; the queue is as long after it."""
    names = ("submit", "take and acknowledge", "read depth and age")
    took: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(runs):
        start = time.perf_counter()
        client.submit(PATH, POLICIES)
        submitted = time.perf_counter()
        taker.take()
        taken = time.perf_counter()
        look(connection)
        looked = time.perf_counter()
        for name, seconds in zip(
            took, (submitted - start, taken - submitted, looked - taken), strict=True
        ):
            took[name].append(seconds)
    assert connection.llen(QUEUES["interactive"]) == n
    for name, seconds_each in took.items():
        yield Point("queue", name, n, statistics.median(seconds_each))


class _Taker:
    """Takes requests off as a Celery worker does: one at a time, acknowledged when it is done."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._connection = app.connection_for_read()
        self._taken = 0

    def __enter__(self) -> _Taker:
        channel = self._connection.channel()
        channel.basic_qos(0, 1, False)  # as with worker_prefetch_multiplier=1
        queues = self._app.conf.task_queues
        Consumer(channel, queues, callbacks=[self._done], accept=["json"]).consume()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.release()

    def _done(self, _: Any, message: Message) -> None:
        message.ack()
        self._taken += 1

    def take(self) -> None:
        """Takes the oldest request off and acknowledges it."""
        before = self._taken
        while self._taken == before:
            self._connection.drain_events(timeout=10)


def _fill(connection: redis.Redis, request: bytes, n: int) -> None:
    """Makes the queue n long with copies of a request, each with its own ids."""
    message = json.loads(request)
    old = [message["properties"][name].encode() for name in ("correlation_id", "delivery_tag")]
    while missing := n - connection.llen(QUEUES["interactive"]):
        copies = [_renamed(request, old) for _ in range(min(missing, _AT_A_TIME))]
        connection.lpush(QUEUES["interactive"], *copies)


def _renamed(request: bytes, ids: Iterable[bytes]) -> bytes:
    for old in ids:
        request = request.replace(old, str(uuid.uuid4()).encode())
    return request


def _used(connection: redis.Redis) -> int:
    """Returns the bytes that Redis holds for its data and clients."""
    return int(connection.info("memory")["used_memory"])
