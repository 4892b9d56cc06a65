"""Workers that are killed with a batch in hand: nothing is lost, and nothing answered twice."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, cast

import pytest

from moderation.messages import TASK_NAME
from moderation.queue.celery_app import connect
from moderation.queue.keys import DUE, HAND, HELD
from moderation.queue.packed_message import pack_message
from moderation.settings import Settings, load_settings
from tests.support.photo_server import PhotoServer
from tests.support.queued_messages import RESULT, opened
from tests.support.redis_kinds import KeepingRedis
from tests.support.tiny_worker import QUEUE, TinyWorker
from tests.support.waiting import PATIENCE_SECONDS, until

Start = Callable[..., TinyWorker]
BATCH = 24


@pytest.fixture
def server(tmp_path: Path) -> Iterator[KeepingRedis]:
    with KeepingRedis(tmp_path) as running:
        yield running


@pytest.fixture
def settings(server: KeepingRedis) -> Settings:
    return load_settings(broker_url=server.url)


@pytest.fixture
def start(settings: Settings, photos: PhotoServer, tmp_path: Path) -> Start:
    """What starts a worker whose death shows after four seconds."""

    def make(**environment: str) -> TinyWorker:
        variables = {"MODERATION_VISIBILITY_TIMEOUT_SECONDS": "8", **environment}
        return TinyWorker(settings, tmp_path / "worker", photos, **variables)

    return make


class Told:
    """What hosts are told, as they are: each time that a result is written."""

    def __init__(self, settings: Settings) -> None:
        self._redis = cast(Any, connect(settings))
        self._listener: Any = self._redis.pubsub()
        self._listener.psubscribe(f"{RESULT}*")
        self.times: Counter[str] = Counter()
        self.results: dict[str, list[Any]] = {}

    def look(self) -> None:
        while found := self._listener.get_message():
            if found["type"] == "pmessage":
                name = found["channel"].decode().removeprefix(RESULT)
                self.times[name] += 1
                self.results.setdefault(name, []).append(json.loads(found["data"])["result"])

    def close(self) -> None:
        self._listener.close()
        self._redis.close()


def send(worker: TinyWorker, names: Sequence[str], kind: str = "plain") -> None:
    """Puts requests on the queue in one step, so that they are taken together."""
    request = {"image": worker.image(kind), "policies": ["colours"]}
    worker.redis.lpush(QUEUE, *(pack_message(TASK_NAME, name, request, QUEUE) for name in names))


def kill(worker: TinyWorker) -> None:
    worker.process.kill()
    worker.process.wait()


def logged(worker: TinyWorker) -> list[str]:
    with closing(sqlite3.connect(worker.database)) as log:
        return [name for (name,) in log.execute("SELECT request_id FROM submissions")]


def assert_all_once(worker: TinyWorker, names: Sequence[str]) -> None:
    """Checks that each has its verdict, is in the log once, and lies nowhere else any more."""
    assert [worker.answer(name) for name in names] == [*names]
    until(lambda: worker.in_hand() == 0)
    assert sorted(logged(worker)) == sorted(names)
    assert not worker.redis.exists(QUEUE, HAND, DUE, HELD)


NAMES = [f"r{n}" for n in range(BATCH)]


def test_a_worker_that_is_killed_between_taking_and_the_first_row(
    start: Start, photos: PhotoServer
) -> None:
    with start() as worker:
        send(worker, NAMES, "held gate")
        until(lambda: photos.asked.total() == BATCH)
        kill(worker)
        assert (worker.in_hand(), logged(worker)) == (BATCH, [])
    photos.gate.set()
    with start() as worker:
        assert_all_once(worker, NAMES)


def test_a_worker_that_is_killed_while_the_log_is_locked(start: Start) -> None:
    """All is decided then, and not one row is there."""
    with start() as worker:
        with closing(sqlite3.connect(worker.database)) as other:
            other.execute("BEGIN IMMEDIATE")
            send(worker, NAMES)
            until(lambda: worker.in_hand() == BATCH)
            time.sleep(1)  # until it waits for the log
            kill(worker)
            other.rollback()
        assert (worker.in_hand(), logged(worker)) == (BATCH, [])
    with start() as worker:
        assert_all_once(worker, NAMES)


def test_a_worker_that_is_killed_between_the_log_and_the_answers(
    start: Start, server: KeepingRedis, photos: PhotoServer, settings: Settings
) -> None:
    with start() as worker:
        send(worker, NAMES, "held gate")
        until(lambda: photos.asked.total() == BATCH)
        server.stop()
        photos.gate.set()
        until(lambda: "answers wait for Redis" in worker.log())
        assert logged(worker)  # some are, and wait to be answered; the others wait behind them
        kill(worker)
        server.start()
        assert worker.in_hand() == BATCH
    with closing(Told(settings)) as told, start() as worker:
        assert_all_once(worker, NAMES)
        told.look()
        assert told.times == Counter(NAMES)


def test_a_redis_that_restarts_with_a_batch_in_hand(
    start: Start, server: KeepingRedis, photos: PhotoServer, settings: Settings
) -> None:
    with start() as worker:
        send(worker, NAMES, "held gate")
        until(lambda: photos.asked.total() == BATCH)
        server.stop()
        time.sleep(1)
        server.start()
        with closing(Told(settings)) as told:
            photos.gate.set()
            assert_all_once(worker, NAMES)
            told.look()
            assert told.times == Counter(NAMES)
        # And it takes again.
        last = worker.send()
        assert worker.answer(last) == last


def test_a_redis_that_restarts_while_a_worker_is_silent_gives_nobody_a_strike(
    start: Start, server: KeepingRedis, photos: PhotoServer
) -> None:
    with ExitStack() as stack:
        worker, other = stack.enter_context(start()), stack.enter_context(start())
        send(worker, NAMES, "held gate")
        until(lambda: photos.asked.total() == BATCH)
        server.stop()
        time.sleep(4.5)  # longer than a sign of life lasts
        server.start()
        time.sleep(1)
        assert {opened(raw.encode()).strikes for raw in worker.redis.hvals(HAND)} == {0}
        assert worker.in_hand() == BATCH
        photos.gate.set()
        assert_all_once(other, NAMES)


def test_an_image_that_kills_workers_is_quarantined_and_its_neighbours_are_answered(
    start: Start, photos: PhotoServer
) -> None:
    """A death makes all that was in hand suspects; from the second on they are tried alone."""
    names = [f"r{n}" for n in range(6)]
    for death in range(3):
        with start(MODERATION_MAX_DELIVERIES="3") as worker:
            if death == 0:
                send(worker, names[:3], "held gate")
                until(lambda: photos.asked.total() == 3)
                send(worker, ["deadly"], "deadly")
            worker.process.wait(PATIENCE_SECONDS)
            if death == 0:
                send(worker, names[3:], "held gate")
            if death == 1:
                photos.gate.set()
            assert logged(worker) == [] or death == 2
            assert not worker.redis.exists(f"{RESULT}deadly")
    with start(MODERATION_MAX_DELIVERIES="3") as worker:
        until(lambda: worker.redis.exists(f"{RESULT}deadly"))
        assert [worker.answer(name) for name in names] == names
        [entry] = worker.quarantined()
        assert (entry.request_id, entry.reason, entry.deliveries) == ("deadly", "deliveries", 3)
        until(lambda: worker.in_hand() == 0)
        assert sorted(logged(worker)) == sorted([*names, "deadly"])
