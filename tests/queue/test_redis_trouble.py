"""A Redis that is away, full or restarted, and a worker that is told to stop meanwhile."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
import redis

from moderation.messages import TASK_NAME
from moderation.queue.keys import HELD
from moderation.queue.packed_message import pack_message
from moderation.settings import load_settings
from tests.conftest import SERVED
from tests.support.photo_server import PhotoServer
from tests.support.queued_messages import opened
from tests.support.redis_kinds import KeepingRedis
from tests.support.tiny_worker import QUEUE, TinyWorker
from tests.support.waiting import PATIENCE_SECONDS, until

Start = Callable[..., TinyWorker]

#: What a worker logs while it cannot answer, and goes on trying.
NOT_ANSWERED = "answers wait for Redis"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[KeepingRedis]:
    with KeepingRedis(tmp_path) as running:
        yield running


@pytest.fixture
def start(server: KeepingRedis, photos: PhotoServer, tmp_path: Path) -> Start:
    """What starts a worker that has so many in hand at a time."""

    def make(concurrency: int = 4, visibility_seconds: int = 5, **settings: str) -> TinyWorker:
        variables = {
            "MODERATION_CONCURRENCY": str(concurrency),
            "MODERATION_VISIBILITY_TIMEOUT_SECONDS": str(visibility_seconds),
        }
        host = load_settings(broker_url=server.url, **settings)
        return TinyWorker(host, tmp_path / "worker", photos, **variables)

    return make


def ended(process: subprocess.Popen[bytes]) -> int:
    return process.wait(timeout=PATIENCE_SECONDS)


def assert_answered_once(worker: TinyWorker, ids: Sequence[str]) -> None:
    """Checks that all have their verdicts, each is in the log once, and nothing is left."""
    assert [worker.answer(task_id) for task_id in ids] == [*ids]
    until(lambda: worker.in_hand() == 0 and not worker.redis.llen(QUEUE))
    with closing(sqlite3.connect(worker.database)) as log:
        logged = [name for (name,) in log.execute("SELECT request_id FROM submissions")]
    assert sorted(logged) == sorted(ids)
    left = set(worker.redis.keys("*")) - {f"celery-task-meta-{task_id}" for task_id in ids}
    assert {key for key in left if not key.startswith(("evenhand.worker.", "_kombu"))} <= {
        "evenhand.swept"
    }


def test_a_worker_without_redis_says_so_every_few_seconds_and_goes_on_after(
    server: KeepingRedis, photos: PhotoServer, start: Start
) -> None:
    with start() as worker:
        ids = [worker.send(f"held {n}") for n in range(4)]
        until(lambda: photos.asked.total() == 4)
        before = len(worker.log().splitlines())
        server.stop()
        photos.gate.set()
        until(lambda: worker.log().count("Cannot connect") >= 2)
        assert NOT_ANSWERED in worker.log()
        assert len(worker.log().splitlines()[before:]) <= 40
        server.start()
        assert_answered_once(worker, ids)
        assert "Traceback" not in worker.log()


def test_no_line_of_a_worker_advises_an_option(start: Start) -> None:
    """Also as root, as in containers, where Celery advises `--uid`."""
    with start() as worker:
        worker.answer(worker.send())
        assert not re.findall(r"\s--[a-z]+", worker.log())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_worker_without_redis_ends_on_a_signal(
    number: signal.Signals, server: KeepingRedis, photos: PhotoServer, start: Start
) -> None:
    with start() as worker:
        task_id = worker.send("held gate")
        until(lambda: photos.asked.total() == 1)
        server.stop()
        photos.gate.set()
        until(lambda: NOT_ANSWERED in worker.log() and "Cannot connect" in worker.log())
        worker.process.send_signal(number)
        ended(worker.process)
        assert "Traceback" not in worker.log()
    server.start()
    with start() as worker:
        assert_answered_once(worker, [task_id])


def test_a_request_is_not_lost_where_only_the_results_are_away(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "results").mkdir()
    with KeepingRedis(tmp_path / "results") as results:
        with start(result_url=results.url) as worker:
            results.stop()
            task_id = worker.send()
            until(lambda: NOT_ANSWERED in worker.log())
            worker.process.terminate()
            assert ended(worker.process) == 0
            assert "Traceback" not in worker.log()
            assert worker.redis.llen(QUEUE) == 1
        with start(result_url=results.url) as worker:
            until(lambda: NOT_ANSWERED in worker.log())
            results.start()
            assert worker.answer(task_id) == task_id
            until(lambda: worker.in_hand() == 0)


def test_results_that_lie_in_a_full_redis_wait_and_none_is_lost(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "results").mkdir()
    with (
        KeepingRedis(tmp_path / "results") as results,
        start(result_url=results.url) as worker,
        redis.Redis.from_url(results.url) as connection,
    ):
        connection.config_set("maxmemory", "1")
        ids = [worker.send() for _ in range(8)]
        until(lambda: "Redis refuses" in worker.log())
        assert worker.process.poll() is None
        connection.config_set("maxmemory", "0")
        assert [worker.answer(task_id) for task_id in ids] == ids
        until(lambda: worker.in_hand() == 0 and not worker.redis.llen(QUEUE))
        assert "Traceback" not in worker.log()


def test_a_full_redis_does_not_keep_a_worker_from_answering(start: Start) -> None:
    with start() as worker:
        worker.process.send_signal(signal.SIGSTOP)
        ids = [worker.send() for _ in range(20)]
        worker.redis.config_set("maxmemory", "1")
        worker.process.send_signal(signal.SIGCONT)
        assert [worker.answer(task_id) for task_id in ids] == ids
        assert worker.process.poll() is None
        worker.redis.config_set("maxmemory", "0")
        assert_answered_once(worker, ids)
        assert "Traceback" not in worker.log()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_worker_that_is_told_to_stop_answers_what_it_has_in_hand(
    number: signal.Signals, photos: PhotoServer, start: Start
) -> None:
    with start() as worker:
        held = [worker.send(f"held {n}") for n in range(3)]
        until(lambda: photos.asked.total() == 3)
        worker.process.send_signal(number)
        until(lambda: f"Stopping when all in hand is answered ({number.name})" in worker.log())
        later = worker.send()
        time.sleep(0.5)
        assert worker.redis.llen(QUEUE) == 1  # it takes nothing more
        photos.gate.set()
        assert ended(worker.process) == 0
        assert [worker.answer(task_id) for task_id in held] == held
        assert "Traceback" not in worker.log()
    assert worker.redis.llen(QUEUE) == 1
    assert worker.in_hand() == 0
    with start() as worker:
        assert_answered_once(worker, [*held, later])


@pytest.mark.parametrize(
    "numbers", [(signal.SIGINT, signal.SIGINT), (signal.SIGQUIT,), (signal.SIGTERM, signal.SIGQUIT)]
)
def test_a_worker_that_must_end_now_puts_back_what_it_has_in_hand(
    numbers: tuple[signal.Signals, ...], photos: PhotoServer, start: Start
) -> None:
    with start() as worker:
        task_ids = [worker.send(f"held {n}") for n in range(3)]
        until(lambda: photos.asked.total() == 3)
        for place, number in enumerate(numbers):
            worker.process.send_signal(number)
            if place + 1 < len(numbers):
                until(lambda: "Stopping when all in hand is answered" in worker.log())
        assert ended(worker.process) == 130
        assert worker.redis.llen(QUEUE) == 3
        assert worker.in_hand() == 0
        waiting = [opened(raw.encode()) for raw in worker.redis.lrange(QUEUE, 0, -1)]
        assert {envelope.strikes for envelope in waiting} == {0}
        assert not any(worker.redis.exists(f"celery-task-meta-{task_id}") for task_id in task_ids)
        assert "Traceback" not in worker.log()


def test_a_worker_that_ends_puts_back_the_suspects_that_wait(
    photos: PhotoServer, start: Start
) -> None:
    with start() as worker:
        names = ["s1", "s2", "s3"]
        for name in names:
            request = {"image": worker.image(f"held {name}"), "policies": ["colours"]}
            worker.redis.lpush(QUEUE, pack_message(TASK_NAME, name, request, QUEUE, strikes=6))
        until(lambda: worker.redis.scard(HELD) == 2)
        worker.process.terminate()
        until(lambda: worker.redis.llen(QUEUE) == 2)
        photos.gate.set()
        assert ended(worker.process) == 0
        assert worker.answer("s1") == "s1"
    waiting = [opened(raw.encode()) for raw in worker.redis.lrange(QUEUE, 0, -1)]
    assert {(each.id, each.strikes) for each in waiting} == {("s2", 6), ("s3", 6)}


def test_retries_that_wait_are_in_redis_and_all_are_answered(start: Start) -> None:
    """They take no room of the worker's, which has one request in hand at a time."""
    with start(1, visibility_seconds=300) as worker:
        ids = [worker.send("later") for _ in range(12)]
        assert [worker.answer(task_id) for task_id in ids] == ids
        assert_answered_once(worker, ids)
        assert "Traceback" not in worker.log()


#: The command line, with a model that never comes. Python drops a signal that meets a destructor,
#: of which loading a real one has many.
SLOW_MODEL = """
import threading
from moderation import __main__
from moderation.encoders import registry

def load(*_):
    print("It loads", flush=True)
    threading.Event().wait()

registry.LOADERS["starter"] = load
__main__.main()
"""


def test_ctrl_c_while_the_model_loads_ends_silently(server: KeepingRedis, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "MODERATION_BROKER_URL": server.url,
        "MODERATION_DATABASE_URL": f"sqlite:///{tmp_path}/decisions.db",
    }
    words = ["worker", "--model", "starter", *SERVED]
    starting = subprocess.Popen(
        [sys.executable, "-c", SLOW_MODEL, *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert starting.stdout is not None
    said = ""
    while "It loads" not in said:
        line = starting.stdout.readline()
        assert line, said
        said += line
    assert "Loading the model" in said
    starting.send_signal(signal.SIGINT)
    rest, _ = starting.communicate(timeout=PATIENCE_SECONDS)
    assert (starting.returncode, rest) == (130, "")
