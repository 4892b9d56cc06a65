"""A Redis that is away, full or restarted, and a worker that is told to stop meanwhile."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.client import Monitor

from moderation.local_servers import EmbeddedRedis
from moderation.queue.celery_app import UNACKED, UNACKED_INDEX
from moderation.settings import Settings, load_settings
from tests.conftest import POLICIES
from tests.support.echo_worker import QUEUE, EchoWorker, answer, send
from tests.support.redis_kinds import KeepingRedis
from tests.support.waiting import PATIENCE_SECONDS, until

#: What a worker logs while it cannot write a result, and goes on trying.
NOT_WRITTEN = "Failed operation _store_result"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[KeepingRedis]:
    with KeepingRedis(tmp_path) as running:
        yield running


@pytest.fixture
def host(server: KeepingRedis) -> Settings:
    return load_settings(broker_url=server.url, visibility_timeout_seconds=5)


def worker(host: Settings, folder: Path, concurrency: int = 4, **more: str) -> EchoWorker:
    seconds = str(host.visibility_timeout_seconds)
    given = {"MODERATION_VISIBILITY_TIMEOUT_SECONDS": seconds, **more}
    return EchoWorker(host, folder / "echo", MODERATION_CONCURRENCY=str(concurrency), **given)


def database(server: EmbeddedRedis) -> redis.Redis:
    return redis.Redis.from_url(server.url)


def in_hand(server: EmbeddedRedis) -> int:
    with database(server) as connection:
        found = connection.hlen(UNACKED)
        assert isinstance(found, int)
        return found


def takes_more(server: EmbeddedRedis) -> bool:
    """Whether a worker waits for the next message."""
    with database(server) as connection:
        return bool(connection.info("clients")["blocked_clients"])


def ended(process: subprocess.Popen[bytes]) -> int:
    return process.wait(timeout=PATIENCE_SECONDS)


def test_a_worker_without_redis_says_so_every_few_seconds_and_goes_on_after(
    server: KeepingRedis, host: Settings, tmp_path: Path
) -> None:
    with worker(host, tmp_path) as echo:
        ids = [send(host, "held gate") for _ in range(4)]
        until(lambda: in_hand(server) == 4)
        before = len(echo.log().splitlines())
        server.stop()
        echo.open("gate")
        until(lambda: echo.log().count("Cannot connect") >= 2)
        assert len(echo.log().splitlines()[before:]) <= 40
        server.start()
        assert [answer(host, task_id)["did"] for task_id in ids] == ["held"] * 4
        assert "Traceback" not in echo.log()


def test_no_line_of_a_worker_advises_an_option(host: Settings, tmp_path: Path) -> None:
    """Also as root, as in containers, where Celery advises `--uid`."""
    with worker(host, tmp_path) as echo:
        answer(host, send(host, "answer"))
        assert not re.findall(r"\s--[a-z]+", echo.log())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_worker_without_redis_ends_on_a_signal(
    number: signal.Signals, server: KeepingRedis, host: Settings, tmp_path: Path
) -> None:
    with worker(host, tmp_path) as echo:
        task_id = send(host, "held gate")
        until(lambda: in_hand(server) == 1)
        server.stop()
        echo.open("gate")
        until(lambda: NOT_WRITTEN in echo.log() and "Cannot connect" in echo.log())
        echo.process.send_signal(number)
        ended(echo.process)
        assert "Traceback" not in echo.log()
    server.start()
    with worker(host, tmp_path):
        assert answer(host, task_id)["did"] == "held"


def test_a_request_is_not_lost_where_only_the_results_are_away(
    server: KeepingRedis, tmp_path: Path
) -> None:
    (tmp_path / "results").mkdir()
    with KeepingRedis(tmp_path / "results") as results:
        host = load_settings(
            broker_url=server.url, result_url=results.url, visibility_timeout_seconds=5
        )
        with worker(host, tmp_path) as echo:
            results.stop()
            task_id = send(host)
            until(lambda: NOT_WRITTEN in echo.log())
            echo.process.terminate()
            assert ended(echo.process) == 0
            assert "Traceback" not in echo.log()
        with database(server) as connection:
            assert connection.llen(QUEUE) == 1
        with worker(host, tmp_path) as echo:
            until(lambda: NOT_WRITTEN in echo.log())
            results.start()
            assert answer(host, task_id)["did"] == "answer"
            until(lambda: in_hand(server) == 0)


def test_a_worker_outlives_a_full_redis_and_loses_nothing(
    server: KeepingRedis, host: Settings, tmp_path: Path
) -> None:
    with worker(host, tmp_path) as echo, database(server) as connection:
        echo.process.send_signal(signal.SIGSTOP)
        ids = [send(host) for _ in range(20)]
        connection.config_set("maxmemory", "1")
        echo.process.send_signal(signal.SIGCONT)
        until(lambda: "does not take a request back" in echo.log())
        assert echo.process.poll() is None
        connection.config_set("maxmemory", "0")
        assert [answer(host, task_id)["did"] for task_id in ids] == ["answer"] * 20
        until(lambda: in_hand(server) == 0)
        assert "Traceback" not in echo.log()


def test_what_a_full_redis_does_not_note_is_put_back_by_a_worker_that_ends(
    server: KeepingRedis, host: Settings, tmp_path: Path
) -> None:
    with worker(host, tmp_path) as echo, database(server) as connection:
        echo.process.send_signal(signal.SIGSTOP)
        task_id = send(host)
        connection.config_set("maxmemory", "1")
        echo.process.send_signal(signal.SIGCONT)
        until(lambda: "does not note" in echo.log())
        connection.config_set("maxmemory", "0")
        echo.process.terminate()
        assert ended(echo.process) == 0
    with worker(host, tmp_path):
        assert answer(host, task_id)["did"] == "answer"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_worker_that_is_told_to_stop_answers_what_it_has_in_hand(
    number: signal.Signals, server: KeepingRedis, host: Settings, tmp_path: Path
) -> None:
    with worker(host, tmp_path) as echo:
        task_id = send(host, "held gate")
        until(lambda: in_hand(server) == 1 and takes_more(server))
        echo.process.send_signal(number)
        until(lambda: not takes_more(server))
        until(lambda: f"Stopping when all in hand is answered ({number.name})" in echo.log())
        later = send(host)
        echo.open("gate")
        assert ended(echo.process) == 0
        assert answer(host, task_id)["did"] == "held"
        assert "Traceback" not in echo.log()
    with database(server) as connection:
        assert connection.llen(QUEUE) == 1
    assert in_hand(server) == 0
    with worker(host, tmp_path):
        assert answer(host, later)["did"] == "answer"


@pytest.mark.parametrize(
    "numbers", [(signal.SIGINT, signal.SIGINT), (signal.SIGQUIT,), (signal.SIGTERM, signal.SIGQUIT)]
)
def test_a_worker_that_must_end_now_puts_back_what_it_has_in_hand(
    numbers: tuple[signal.Signals, ...], server: KeepingRedis, host: Settings, tmp_path: Path
) -> None:
    with worker(host, tmp_path) as echo, database(server) as connection:
        task_ids = [send(host, "held for ever") for _ in range(3)]
        until(lambda: in_hand(server) == 3 and takes_more(server))
        for number in numbers:
            echo.process.send_signal(number)
            until(lambda: not takes_more(server))
        assert ended(echo.process) == 130
        assert connection.llen(QUEUE) == 3
        assert in_hand(server) == 0
        assert not any(connection.exists(f"celery-task-meta-{task_id}") for task_id in task_ids)
        assert "Traceback" not in echo.log()


def put_back_by_look(monitor: Monitor) -> list[int]:
    """Returns how many messages each look put back that found some, up to an ECHO."""
    found = [0]
    while True:
        command = monitor.next_command()["command"]  # type: ignore[no-untyped-call]
        if command.startswith("ECHO"):
            return [count for count in found if count]
        if command.startswith("ZRANGE"):
            found.append(0)
        found[-1] += command.startswith(f"RPUSH {QUEUE}")


def test_what_a_killed_worker_had_in_hand_comes_back_all_at_once(
    server: KeepingRedis, host: Settings, tmp_path: Path
) -> None:
    patient = {"MODERATION_VISIBILITY_TIMEOUT_SECONDS": "3600"}  # it has all at the same time
    with worker(host, tmp_path, 40, **patient) as echo, database(server) as connection:
        ids = [send(host, "held gate") for _ in range(40)]
        until(lambda: in_hand(server) == 40)
        echo.process.kill()
        echo.process.wait()
        echo.open("gate")
        tags = connection.zrange(UNACKED_INDEX, 0, -1)
        connection.zadd(UNACKED_INDEX, dict.fromkeys(tags, time.time() + 3600))
        # The first look of a worker, while it starts, has no limit; the next ones have.
        with worker(host, tmp_path, concurrency=40), connection.monitor() as monitor:
            connection.zadd(UNACKED_INDEX, dict.fromkeys(tags, 1))
            assert [answer(host, task_id)["did"] for task_id in ids] == ["held"] * 40
            connection.echo("these were all")
            assert put_back_by_look(monitor) == [40]


def test_retries_that_wait_in_memory_are_bounded_and_all_are_answered(
    server: KeepingRedis, tmp_path: Path
) -> None:
    host = load_settings(broker_url=server.url)
    with worker(host, tmp_path, concurrency=1) as echo, database(server) as connection:
        ids = [send(host, "later 2") for _ in range(30)]
        found: list[int] = []

        def is_done() -> bool:
            found.append(in_hand(server))
            return not found[-1] and not connection.llen(QUEUE)

        until(is_done)
        assert 2 <= max(found) <= 12
        assert [answer(host, task_id)["did"] for task_id in ids] == ["later"] * 30
        until(lambda: in_hand(server) == 0)
        assert "Traceback" not in echo.log()


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
    words = ["worker", "--model", "starter", "--policy", str(POLICIES)]
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
