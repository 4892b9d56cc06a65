"""A Redis that is away, full or restarted, and a worker that is told to stop meanwhile."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.echo_worker import QUEUE, EchoWorker

from moderation.queue.keys import LATER
from moderation.settings import load_settings
from tests.conftest import POLICIES
from tests.support.redis_kinds import KeepingRedis
from tests.support.waiting import PATIENCE_SECONDS, until

Start = Callable[..., EchoWorker]

#: What a worker logs while it cannot write a result, and goes on trying.
NOT_WRITTEN = "Failed operation _store_result"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[KeepingRedis]:
    with KeepingRedis(tmp_path) as running:
        yield running


@pytest.fixture
def start(server: KeepingRedis, tmp_path: Path) -> Start:
    """What starts a worker that serves so many at a time."""

    def make(concurrency: int = 4, visibility_seconds: int = 5, **settings: str) -> EchoWorker:
        variables = {
            "MODERATION_CONCURRENCY": str(concurrency),
            "MODERATION_VISIBILITY_TIMEOUT_SECONDS": str(visibility_seconds),
        }
        host = load_settings(broker_url=server.url, **settings)
        return EchoWorker(host, tmp_path / "echo", **variables)

    return make


def takes_more(echo: EchoWorker) -> bool:
    """Whether a worker waits for the next message."""
    return bool(echo.redis.info("clients")["blocked_clients"])


def ended(process: subprocess.Popen[bytes]) -> int:
    return process.wait(timeout=PATIENCE_SECONDS)


def test_a_worker_without_redis_says_so_every_few_seconds_and_goes_on_after(
    server: KeepingRedis, start: Start
) -> None:
    with start() as echo:
        ids = [echo.send("held gate") for _ in range(4)]
        until(lambda: echo.in_hand() == 4)
        before = len(echo.log().splitlines())
        server.stop()
        echo.open("gate")
        until(lambda: echo.log().count("Cannot connect") >= 2)
        assert len(echo.log().splitlines()[before:]) <= 40
        server.start()
        assert [echo.answer(task_id)["did"] for task_id in ids] == ["held"] * 4
        assert "Traceback" not in echo.log()


def test_no_line_of_a_worker_advises_an_option(start: Start) -> None:
    """Also as root, as in containers, where Celery advises `--uid`."""
    with start() as echo:
        echo.answer(echo.send("answer"))
        assert not re.findall(r"\s--[a-z]+", echo.log())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_worker_without_redis_ends_on_a_signal(
    number: signal.Signals, server: KeepingRedis, start: Start
) -> None:
    with start() as echo:
        task_id = echo.send("held gate")
        until(lambda: echo.in_hand() == 1)
        server.stop()
        echo.open("gate")
        until(lambda: NOT_WRITTEN in echo.log() and "Cannot connect" in echo.log())
        echo.process.send_signal(number)
        ended(echo.process)
        assert "Traceback" not in echo.log()
    server.start()
    with start() as echo:
        assert echo.answer(task_id)["did"] == "held"


def test_a_request_is_not_lost_where_only_the_results_are_away(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "results").mkdir()
    with KeepingRedis(tmp_path / "results") as results:
        with start(result_url=results.url) as echo:
            results.stop()
            task_id = echo.send()
            until(lambda: NOT_WRITTEN in echo.log())
            echo.process.terminate()
            assert ended(echo.process) == 0
            assert "Traceback" not in echo.log()
        assert echo.redis.llen(QUEUE) == 1
        with start(result_url=results.url) as echo:
            until(lambda: NOT_WRITTEN in echo.log())
            results.start()
            assert echo.answer(task_id)["did"] == "answer"
            until(lambda: echo.in_hand() == 0)


def test_a_worker_outlives_a_full_redis_and_loses_nothing(start: Start) -> None:
    with start() as echo:
        echo.process.send_signal(signal.SIGSTOP)
        ids = [echo.send() for _ in range(20)]
        echo.redis.config_set("maxmemory", "1")
        echo.process.send_signal(signal.SIGCONT)
        until(lambda: "does not take a request back" in echo.log())
        assert echo.process.poll() is None
        echo.redis.config_set("maxmemory", "0")
        assert [echo.answer(task_id)["did"] for task_id in ids] == ["answer"] * 20
        until(lambda: echo.in_hand() == 0)
        assert "Traceback" not in echo.log()


def test_what_a_full_redis_does_not_note_is_put_back_by_a_worker_that_ends(start: Start) -> None:
    with start() as echo:
        echo.process.send_signal(signal.SIGSTOP)
        task_id = echo.send()
        echo.redis.config_set("maxmemory", "1")
        echo.process.send_signal(signal.SIGCONT)
        until(lambda: "does not note" in echo.log())
        echo.redis.config_set("maxmemory", "0")
        echo.process.terminate()
        assert ended(echo.process) == 0
    with start() as echo:
        assert echo.answer(task_id)["did"] == "answer"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_worker_that_is_told_to_stop_answers_what_it_has_in_hand(
    number: signal.Signals, start: Start
) -> None:
    with start() as echo:
        task_id = echo.send("held gate")
        until(lambda: echo.in_hand() == 1 and takes_more(echo))
        echo.process.send_signal(number)
        until(lambda: not takes_more(echo))
        until(lambda: f"Stopping when all in hand is answered ({number.name})" in echo.log())
        later = echo.send()
        echo.open("gate")
        assert ended(echo.process) == 0
        assert echo.answer(task_id)["did"] == "held"
        assert "Traceback" not in echo.log()
    assert echo.redis.llen(QUEUE) == 1
    assert echo.in_hand() == 0
    with start() as echo:
        assert echo.answer(later)["did"] == "answer"


@pytest.mark.parametrize(
    "numbers", [(signal.SIGINT, signal.SIGINT), (signal.SIGQUIT,), (signal.SIGTERM, signal.SIGQUIT)]
)
def test_a_worker_that_must_end_now_puts_back_what_it_has_in_hand(
    numbers: tuple[signal.Signals, ...], start: Start
) -> None:
    with start() as echo:
        task_ids = [echo.send("held for ever") for _ in range(3)]
        until(lambda: echo.in_hand() == 3 and takes_more(echo))
        for number in numbers:
            echo.process.send_signal(number)
            until(lambda: not takes_more(echo))
        assert ended(echo.process) == 130
        assert echo.redis.llen(QUEUE) == 3
        assert echo.in_hand() == 0
        assert not any(echo.redis.exists(f"celery-task-meta-{task_id}") for task_id in task_ids)
        assert "Traceback" not in echo.log()


def test_what_a_killed_worker_had_in_hand_comes_back(start: Start) -> None:
    with start(40) as echo:  # it has all at the same time
        ids = [echo.send("held gate") for _ in range(40)]
        until(lambda: echo.in_hand() == 40)
        echo.process.kill()
        echo.process.wait()
        echo.open("gate")
        with start(40) as echo:
            assert [echo.answer(task_id)["did"] for task_id in ids] == ["held"] * 40
            until(lambda: echo.in_hand() == 0)


def test_requests_that_are_tried_again_wait_in_redis_and_all_are_answered(start: Start) -> None:
    with start(1, visibility_seconds=300) as echo:
        ids = [echo.send("later 2") for _ in range(30)]
        until(lambda: echo.redis.zcard(LATER["interactive"]) == 30)
        assert echo.in_hand() == 0
        assert [echo.answer(task_id)["did"] for task_id in ids] == ["later"] * 30
        until(lambda: echo.in_hand() == 0)
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
