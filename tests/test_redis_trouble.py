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

from moderation.embedded import EmbeddedRedis
from moderation.settings import Settings, load_settings
from tests.conftest import POLICIES
from tests.echo_worker import EchoWorker
from tests.redis_kinds import KeepingRedis
from tests.test_hostile_messages import QUEUE, answer, send, until

#: Seconds in which a worker must be gone that was told to stop.
SOON = 10.0


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
        found = connection.hlen("unacked")
        assert isinstance(found, int)
        return found


def ended(process: subprocess.Popen[bytes], seconds: float = SOON) -> int:
    return process.wait(timeout=seconds)


def test_a_worker_without_redis_says_so_every_few_seconds_and_goes_on_after(
    server: KeepingRedis, host: Settings, tmp_path: Path
) -> None:
    with worker(host, tmp_path) as echo:
        ids = [send(host, "slow 1.5") for _ in range(4)]
        assert until(lambda: in_hand(server) == 4)
        server.stop()
        before = len(echo.log().splitlines())
        time.sleep(12)
        lines = echo.log().splitlines()[before:]
        assert 1 <= len(lines) <= 40
        server.start()
        assert [answer(host, task_id, 60)["did"] for task_id in ids] == ["slow"] * 4
        assert "Traceback" not in echo.log()


def test_no_line_of_a_worker_advises_an_option(host: Settings, tmp_path: Path) -> None:
    """Of root too, which the tests run as in containers: Celery advises `--uid` to it."""
    with worker(host, tmp_path) as echo:
        answer(host, send(host, "answer"), 60)
        assert not re.findall(r"\s--[a-z]+", echo.log())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_worker_without_redis_ends_when_it_is_told_to(
    number: signal.Signals, server: KeepingRedis, host: Settings, tmp_path: Path
) -> None:
    with worker(host, tmp_path) as echo:
        task_id = send(host, "slow 0.5")
        assert until(lambda: in_hand(server) == 1)
        server.stop()
        time.sleep(2)
        echo.process.send_signal(number)
        ended(echo.process)
        assert "Traceback" not in echo.log()
    server.start()
    with worker(host, tmp_path):
        assert answer(host, task_id, 60)["did"] == "slow"


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
            time.sleep(3)
            echo.process.terminate()
            assert ended(echo.process) == 0
            assert "Traceback" not in echo.log()
        with database(server) as connection:
            assert connection.llen(QUEUE) == 1
        with worker(host, tmp_path):
            time.sleep(2)
            results.start()
            assert answer(host, task_id, 60)["did"] == "answer"
        assert in_hand(server) == 0


def test_a_worker_outlives_a_full_redis_and_loses_nothing(
    server: KeepingRedis, host: Settings, tmp_path: Path
) -> None:
    with worker(host, tmp_path) as echo, database(server) as connection:
        echo.process.send_signal(signal.SIGSTOP)
        ids = [send(host) for _ in range(20)]
        connection.config_set("maxmemory", "1")
        echo.process.send_signal(signal.SIGCONT)
        time.sleep(5)
        assert echo.process.poll() is None
        connection.config_set("maxmemory", "0")
        assert [answer(host, task_id, 60)["did"] for task_id in ids] == ["answer"] * 20
        assert until(lambda: in_hand(server) == 0)
        assert "Traceback" not in echo.log()


def test_what_a_full_redis_does_not_note_is_put_back_by_a_worker_that_ends(
    server: KeepingRedis, host: Settings, tmp_path: Path
) -> None:
    with worker(host, tmp_path) as echo, database(server) as connection:
        echo.process.send_signal(signal.SIGSTOP)
        task_id = send(host)
        connection.config_set("maxmemory", "1")
        echo.process.send_signal(signal.SIGCONT)
        assert until(lambda: "does not note" in echo.log())
        connection.config_set("maxmemory", "0")
        echo.process.terminate()
        assert ended(echo.process) == 0
    with worker(host, tmp_path):
        assert answer(host, task_id)["did"] == "answer"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_told_to_stop_answers_what_it_has_in_hand(
    number: signal.Signals, server: KeepingRedis, host: Settings, tmp_path: Path
) -> None:
    with worker(host, tmp_path) as echo:
        task_id = send(host, "slow 2")
        assert until(lambda: in_hand(server) == 1)
        echo.process.send_signal(number)
        time.sleep(0.3)
        later = send(host)
        assert ended(echo.process) == 0
        assert answer(host, task_id, 0.1)["did"] == "slow"
        assert "Traceback" not in echo.log()
    with database(server) as connection:
        assert connection.hlen("unacked") == 0
    with worker(host, tmp_path):
        assert answer(host, later)["did"] == "answer"


@pytest.mark.parametrize(
    "numbers", [(signal.SIGINT, signal.SIGINT), (signal.SIGQUIT,), (signal.SIGTERM, signal.SIGQUIT)]
)
def test_a_worker_that_must_end_now_puts_back_what_it_has_in_hand(
    numbers: tuple[signal.Signals, ...], server: KeepingRedis, host: Settings, tmp_path: Path
) -> None:
    with worker(host, tmp_path) as echo, database(server) as connection:
        task_ids = [send(host, "slow 60") for _ in range(3)]
        assert until(lambda: in_hand(server) == 3)
        for number in numbers:
            echo.process.send_signal(number)
            time.sleep(1)
        assert ended(echo.process) == 130
        assert connection.llen(QUEUE) == 3
        assert in_hand(server) == 0
        assert not any(connection.exists(f"celery-task-meta-{task_id}") for task_id in task_ids)
        assert "Traceback" not in echo.log()


def test_what_a_killed_worker_had_in_hand_comes_back_all_at_once(
    server: KeepingRedis, host: Settings, tmp_path: Path
) -> None:
    with worker(host, tmp_path, concurrency=40) as echo:
        ids = [send(host, "slow 2") for _ in range(40)]
        assert until(lambda: in_hand(server) == 40)
        echo.process.kill()
        echo.process.wait()
    with worker(host, tmp_path, concurrency=40):
        # The visibility timeout, the pause between two looks, and the work: far from 100 s.
        assert [answer(host, task_id, 25)["did"] for task_id in ids] == ["slow"] * 40


def test_retries_that_wait_in_memory_are_bounded_and_all_are_answered(
    server: KeepingRedis, tmp_path: Path
) -> None:
    host = load_settings(broker_url=server.url)
    with worker(host, tmp_path, concurrency=1) as echo:
        ids = [send(host, "later 2") for _ in range(30)]
        most = 0
        deadline = time.monotonic() + 3
        while time.monotonic() < deadline:
            most = max(most, in_hand(server))
            time.sleep(0.02)
        assert 2 <= most <= 12
        assert [answer(host, task_id, 60)["did"] for task_id in ids] == ["later"] * 30
        assert until(lambda: in_hand(server) == 0)
        assert "Traceback" not in echo.log()


def test_ctrl_c_while_the_model_loads_ends_without_a_word(
    server: KeepingRedis, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "MODERATION_BROKER_URL": server.url,
        "MODERATION_DATABASE_URL": f"sqlite:///{tmp_path}/decisions.db",
    }
    command = [sys.executable, "-m", "moderation", "worker", "--model", "starter"]
    starting = subprocess.Popen(
        [*command, "--policy", str(POLICIES)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert starting.stdout is not None
    said = ""
    while "Loading the model" not in said:
        line = starting.stdout.readline()
        assert line, said
        said += line
    starting.send_signal(signal.SIGINT)
    rest, _ = starting.communicate(timeout=60)
    assert (starting.returncode, rest) == (130, "")
