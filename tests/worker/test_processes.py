"""A worker of several processes: real ones, killed, told to stop, and failing."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from moderation.client.client import Client
from moderation.queue.celery_app import connect, create_app, node_name
from moderation.queue.keys import DUE, HAND, HELD
from moderation.settings import Settings, load_settings
from tests.support.desk import coloured
from tests.support.onnx_files import classified_policy, described, mean_colours, write_onnx
from tests.support.photo_server import PhotoServer
from tests.support.queued_messages import opened
from tests.support.redis_kinds import KeepingRedis
from tests.support.sample_pipeline import POLICY
from tests.support.tiny_worker import QUEUE, TinyWorker
from tests.support.waiting import PATIENCE_SECONDS, until

Start = Callable[..., TinyWorker]
LINES = 2


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeepingRedis]:
    with KeepingRedis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def settings(server: KeepingRedis) -> Settings:
    found = load_settings(broker_url=server.url)
    with connect(found) as connection:
        connection.flushall()
    return found


@pytest.fixture
def start(settings: Settings, photos: PhotoServer, tmp_path: Path) -> Start:
    """What starts a worker of two lines; the death of one shows after four seconds."""

    def make(**environment: str) -> TinyWorker:
        variables = {
            "MODERATION_VISIBILITY_TIMEOUT_SECONDS": "8",
            "MODERATION_METRICS_ADDRESS": "0",
            "MODERATION_CONCURRENCY": "3",
            **environment,
        }
        return TinyWorker(settings, tmp_path / "worker", photos, LINES, **variables)

    return make


def figures(worker: TinyWorker) -> dict[str, float]:
    """Returns what Prometheus is told, by name and labels."""
    [address] = re.findall(r"Prometheus is answered on (\S+)", worker.log())
    return {
        " ".join(
            [sample.name, *(value for _, value in sorted(sample.labels.items()))]
        ): sample.value
        for family in text_string_to_metric_families(httpx.get(address).text)
        for sample in family.samples
    }


def pids(worker: TinyWorker) -> dict[str, int]:
    """Returns the processes that were ready last, by what they are: encoder, 1, 2."""
    found = re.findall(r"process embedded-\w+-(\w+) is ready: process (\d+)", worker.log())
    return {name: int(pid) for name, pid in found}


def family(worker: TinyWorker) -> list[psutil.Process]:
    """Returns the supervisor and all its processes, decoders among them."""
    supervisor = psutil.Process(worker.process.pid)
    return [supervisor, *supervisor.children(recursive=True)]


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert [each.cmdline() for each in alive] == []


def hold(worker: TinyWorker, photos: PhotoServer, count: int) -> list[str]:
    """Returns the ids of requests that lines have in hand until the gate opens, and no others."""
    until(lambda: worker.in_hand() == worker.redis.llen(QUEUE) == 0)
    photos.gate.clear()
    before = photos.asked.total()
    held = [worker.send(f"held {n}-{before}") for n in range(count)]
    until(lambda: photos.asked.total() - before == count)
    return held


def kill(worker: TinyWorker, name: str) -> Callable[[], bool]:
    """Kills a process; returns what says whether its successor is ready."""
    former = pids(worker)[name]
    os.kill(former, signal.SIGKILL)
    return lambda: pids(worker)[name] != former


def test_what_dies_under_load_is_started_again_and_nothing_is_lost(
    start: Start, photos: PhotoServer
) -> None:
    with start() as worker:
        assert f"with {LINES} processes; stop with Ctrl-C" in worker.log()
        assert "PostgreSQL is advised" in worker.log()
        everybody = family(worker)
        assert len(everybody) == 1 + 1 + 2 * LINES  # each line has one decoder
        sent = [worker.send() for _ in range(6)]
        for place, name in enumerate(("1", "encoder", "2")):
            held = hold(worker, photos, 2 * LINES)
            assert figures(worker)["evenhand_worker_in_hand"] >= 2 * LINES
            photos.content = coloured((0, 99, place))  # which the log does not know
            is_back = kill(worker, name)
            photos.gate.set()
            sent += [*held, worker.send()]
            until(is_back)
        decoders = [each for each in family(worker) if "decode.child" in " ".join(each.cmdline())]
        decoders[0].kill()
        sent += [worker.send() for _ in range(6)]
        assert [worker.answer(each) for each in sent] == sent
        until(lambda: worker.in_hand() == 0)
        assert not worker.redis.exists(QUEUE, HAND, DUE, HELD)
        found = figures(worker)
        assert found["evenhand_requests_total decided interactive"] == len(sent)
        assert found["evenhand_batch_images_sum stub"] > 0
        assert (found["evenhand_processes line"], found["evenhand_processes encoder"]) == (LINES, 1)
        assert found["evenhand_process_restarts_total line"] == 2
        assert found["evenhand_process_restarts_total encoder"] == 1
        assert found["evenhand_worker_in_hand"] == 0
        assert found["evenhand_redis_up"] == found["evenhand_log_up"] == 1
        assert (
            len(re.findall(r"was killed by SIGKILL; it starts again in 0.5 s", worker.log())) == 3
        )
        assert "Traceback" not in worker.log()
        # A new encoder process has another model, so what lines computed with the former is void.
        held = hold(worker, photos, 2 * LINES)
        former = pids(worker)
        photos.content = coloured((0, 0, 99))
        (worker.temporary / "scale").write_text("20")
        kill(worker, "encoder")
        photos.gate.set()
        assert [worker.answer(each) for each in held] == held
        until(lambda: all(pids(worker)[name] != former[name] for name in former))
        assert worker.log().count("this line begins again with it") == LINES
        assert worker.log().count("ended with exit code 0; it starts again in ") == LINES
        # One that hangs is killed, once for all lines that wait for it.
        os.kill(pids(worker)["encoder"], signal.SIGSTOP)
        photos.content = coloured((0, 99, 99))
        late = [worker.send() for _ in range(2 * LINES)]
        assert [worker.answer(each) for each in late] == late
        assert worker.log().count("has not answered for 5 s, and is killed") == 1
        # And now it is told to stop, with requests in hand and no encoder process.
        held = hold(worker, photos, 2 * LINES)
        everybody += family(worker)
        worker.process.send_signal(signal.SIGTERM)
        until(lambda: "Stopping when all in hand is answered (SIGTERM)" in worker.log())
        kill(worker, "encoder")
        photos.content = coloured((99, 0, 0))
        photos.gate.set()
        assert worker.process.wait(PATIENCE_SECONDS) == 0
        assert_gone(everybody)
        assert [worker.answer(each) for each in held] == held
        assert worker.log().count("Stopping when") == 1
        assert "Traceback" not in worker.log()
    assert worker.in_hand() == 0


@pytest.mark.parametrize("numbers", [(signal.SIGINT, signal.SIGINT), (signal.SIGQUIT,)])
def test_lines_that_must_end_now_put_back_what_they_have(
    numbers: tuple[signal.Signals, ...], start: Start, photos: PhotoServer
) -> None:
    with start() as worker:
        held = hold(worker, photos, 2 * LINES)
        everybody = family(worker)
        worker.process.send_signal(numbers[0])
        if len(numbers) > 1:
            until(lambda: "Stopping when all in hand is answered (SIGINT)" in worker.log())
            worker.process.send_signal(numbers[1])
        assert worker.process.wait(PATIENCE_SECONDS) == 130
        waiting = [opened(raw.encode()) for raw in worker.redis.lrange(QUEUE, 0, -1)]
        assert {(each.id, each.strikes) for each in waiting} == {(each, 0) for each in held}
        assert_gone(everybody)
        assert worker.in_hand() == 0
        assert "Traceback" not in worker.log()


def test_without_their_supervisor_all_answer_what_they_have_and_end(
    start: Start, photos: PhotoServer
) -> None:
    with start() as worker:
        held = hold(worker, photos, 2 * LINES)
        everybody = family(worker)
        worker.process.kill()
        worker.process.wait()
        time.sleep(0.5)
        later = worker.send()  # which nobody takes
        photos.gate.set()
        assert_gone(everybody)
        assert [worker.answer(each) for each in held] == held
        waiting = [opened(raw.encode()).id for raw in worker.redis.lrange(QUEUE, 0, -1)]
        assert waiting == [later]
        assert list(worker.temporary.glob("evenhand-*")) == []
        assert "Traceback" not in worker.log()


def test_a_temporary_folder_that_is_cleared_ends_the_worker_once_something_dies(
    start: Start, photos: PhotoServer
) -> None:
    with start() as worker:
        everybody = family(worker)
        [folder] = worker.temporary.glob("evenhand-*")
        shutil.rmtree(folder)
        sent = worker.send()
        assert worker.answer(sent) == sent
        held = hold(worker, photos, 2 * LINES)
        os.kill(pids(worker)["encoder"], signal.SIGKILL)
        assert worker.process.wait(PATIENCE_SECONDS) == 3
        assert_gone(everybody)
        assert worker.log().count("error: ") == 1
        assert f"{folder}: what its processes share was removed. Start" in worker.log()
        waiting = [opened(raw.encode()) for raw in worker.redis.lrange(QUEUE, 0, -1)]
        assert {(each.id, each.strikes) for each in waiting} == {(each, 0) for each in held}
        assert "Traceback" not in worker.log()


def started(settings: Settings, folder: Path, *options: str) -> subprocess.Popen[str]:
    """Returns `moderation worker` with two lines, whose output is one pipe."""
    environment = {
        **os.environ,
        "TMPDIR": str(folder),
        "MODERATION_BROKER_URL": settings.broker_url.get_secret_value(),
        "MODERATION_DATABASE_URL": f"sqlite:///{folder}/decisions.db",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.tiny_worker", "worker", "--processes", "2", *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_what_cannot_begin_says_so_once(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "no-such-model"
    process = started(settings, tmp_path, "-p", "weapons", "--model", str(missing))
    said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 3
    assert said.count("error:") == said.count("moderation model pull") == 1
    assert "Traceback" not in said
    (tmp_path / "decisions.db").write_bytes(b"this is no database, and long enough to be read" * 99)
    process = started(settings, tmp_path, "-p", "weapons", "--model", "starter")
    said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, said.count("error:")) == (3, 1)
    assert "Traceback" not in said
    (tmp_path / "decisions.db").unlink()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("MODERATION_METRICS_ADDRESS", str(taken.getsockname()[1]))
        process = started(settings, tmp_path, "-p", "weapons", "--model", "starter")
        said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, said.count("error:"), "Serving" in said) == (2, 1, False)
    assert [path.name for path in tmp_path.iterdir() if "evenhand-" in path.name] == []


def test_a_classifier_is_loaded_by_the_encoder_process_and_scores_for_all_lines(
    settings: Settings, start: Start, tmp_path: Path
) -> None:
    sha256 = write_onnx(mean_colours(), tmp_path / "classifiers" / "colours.onnx")
    red, green = (described(sha256, output={"column": column}) for column in (0, 1))
    (folder := tmp_path / "worker").mkdir()
    (folder / "mixed.yaml").write_bytes(classified_policy(red, green))
    with start(MODERATION_CLASSIFIERS=str(tmp_path / "classifiers")) as worker:
        assert f"colours.onnx (revision {sha256[:16]}, float32 on cpu)" in worker.log()
        client = Client(settings)
        for colour in ((255, 0, 0), (0, 51, 102)):
            request = client.submit(coloured(colour), "mixed")
            [verdict] = client.collect(request, timeout_seconds=PATIENCE_SECONDS)
            scores = {each.label: each.score for each in verdict.labels}
            assert scores["seen-0"] == pytest.approx(colour[0] / 255, abs=1e-6)
            assert scores["seen-1"] == pytest.approx(colour[1] / 255, abs=1e-6)
            assert verdict.action == ("block" if colour[0] else "allow")
        counted = figures(worker)
        assert counted["evenhand_batch_images_count colours.onnx"] == 2, counted


def test_a_classifier_that_cannot_be_loaded_is_told_once_with_its_place(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "mixed.yaml").write_bytes(classified_policy(described("0" * 64)))
    process = started(settings, tmp_path, "-p", str(tmp_path / "mixed.yaml"), "--model", "starter")
    said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    assert said.count("mixed.yaml:20:11: colours.onnx needs a folder of classifiers") == 1
    assert "Traceback" not in said


def test_closed_standard_streams_are_no_hindrance(settings: Settings, tmp_path: Path) -> None:
    """As some supervisors and cron leave them."""
    (tmp_path / "policy.yaml").write_bytes(POLICY)
    command = f"exec {sys.executable} -m tests.support.tiny_worker worker --processes 2"
    process = subprocess.Popen(
        [
            "sh",
            "-c",
            f"{command} --name bare -p {tmp_path}/policy.yaml --model starter <&- >&- 2>&-",
        ],
        env={
            **os.environ,
            "TMPDIR": str(tmp_path),
            "MODERATION_BROKER_URL": settings.broker_url.get_secret_value(),
            "MODERATION_DATABASE_URL": f"sqlite:///{tmp_path}/decisions.db",
        },
    )
    names = [node_name(f"bare-{number}") for number in (1, 2)]
    with create_app(settings) as app:
        until(lambda: len(app.control.ping(names, timeout=0.5)) == 2)
    process.terminate()
    assert process.wait(PATIENCE_SECONDS) == 0


@pytest.mark.parametrize(
    ("number", "code", "seconds"),
    [(signal.SIGINT, 130, 0.0), (signal.SIGTERM, 0, 0.4), (signal.SIGINT, 130, 1.0)],
)
def test_a_signal_while_processes_start_leaves_none(
    number: signal.Signals, code: int, seconds: float, settings: Settings, tmp_path: Path
) -> None:
    process = started(settings, tmp_path, "-p", "weapons", "--model", "starter")
    supervisor = psutil.Process(process.pid)
    until(lambda: len(supervisor.children()) > (seconds > 0) * 2)
    time.sleep(seconds)
    children = supervisor.children(recursive=True)
    process.send_signal(number)
    said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == code, said
    assert_gone(children)
    assert "Traceback" not in said
    assert "error" not in said
