"""What waits and what is in hand, as Redis has it, as it is printed, and as it is scraped."""

from __future__ import annotations

import base64
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from moderation.client.client import Client
from moderation.embedded_servers import EmbeddedRedis
from moderation.errors import BrokerUnavailable, SettingsError
from moderation.listen_address import Address
from moderation.messages import QUEUES, TASK_NAME
from moderation.queue.celery_app import connect, create_app
from moderation.queue.depth import BrokerState, QueueState, look_at_depths, read_queue_depths
from moderation.queue.hand import Hand
from moderation.queue.packed_message import pack_again
from moderation.settings import Settings, load_settings
from moderation.worker.metrics_server import queue_metrics_text, serve_queue_metrics
from tests.conftest import ROOT
from tests.support.command_line import leading_to, moderation
from tests.support.queued_messages import MOST_BYTES, answered, opened, put
from tests.support.waiting import PATIENCE_SECONDS


def _by_name(state: BrokerState) -> dict[str, QueueState]:
    return {queue.queue: queue for queue in state.queues}


def _environment(settings: Settings) -> dict[str, str]:
    return {**os.environ, "COLUMNS": "100", **leading_to(settings)}


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "moderation", "queues", *words]


def run(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    """Returns the finished `moderation queues WORDS`."""
    return moderation("queues", *words, env=leading_to(settings))


def test_empty_queues_have_no_depth_and_no_age(alone: Settings) -> None:
    empty = (QueueState("interactive", 0, 0.0), QueueState("bulk", 0, 0.0))
    assert read_queue_depths(alone) == BrokerState(empty, 0)


def test_depth_and_age_are_of_each_queue_and_the_age_is_that_of_the_first(alone: Settings) -> None:
    client = Client(alone)
    before = time.time()
    client.submit(b"first", "weapons")
    after = time.time()
    time.sleep(0.3)
    client.submit(b"second", "weapons")
    between = time.time()
    client.submit(b"other", "weapons", queue="bulk")
    looked = time.time()
    found = _by_name(read_queue_depths(alone))
    now = time.time()
    assert (found["interactive"].depth, found["bulk"].depth) == (2, 1)
    age = found["interactive"].oldest_age_seconds
    other = found["bulk"].oldest_age_seconds
    assert age is not None
    assert other is not None
    # To the millisecond, in which it is sent.
    assert looked - after - 0.001 <= age <= now - before + 0.001
    assert 0 <= other <= now - between + 0.001


def test_a_look_reads_no_queue_through(server: EmbeddedRedis) -> None:
    settings = load_settings(broker_url=server.url)
    client = Client(settings)
    for _ in range(20):
        client.submit(b"x", "weapons")
    read_queue_depths(settings)  # so that Redis knows the script
    with connect(settings) as connection:
        connection.config_resetstat()
        read_queue_depths(settings)
        stats = connection.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}
    of_a_connection = ("client", "hello", "auth", "select", "config", "info")
    asked = {name: calls[name] for name in calls if not name.startswith(of_a_connection)}
    assert asked == {"evalsha": 1, "time": 1, "hlen": 1, "zcard": 2, "llen": 2, "lindex": 2}


@pytest.mark.parametrize("is_of_celery", [False, True])
def test_a_look_moves_no_message_however_large(is_of_celery: bool, alone: Settings) -> None:
    image = b"x" * 5_000_000
    before = time.time()
    if is_of_celery:  # a host without this package
        request = {"image": {"bytes": base64.b64encode(image).decode()}, "policies": ["weapons"]}
        with create_app(alone) as app:
            options = {"queue": QUEUES["bulk"], "headers": {"sent_at": time.time()}}
            app.send_task(TASK_NAME, kwargs={"request": request}, **options)
    else:
        Client(alone).submit(image, "weapons", queue="bulk")
    with connect(alone) as connection, connect(alone) as other:
        look_at_depths(connection)
        sent = other.info("stats")["total_net_output_bytes"]
        [age] = [
            queue.oldest_age_seconds for queue in look_at_depths(connection).queues if queue.depth
        ]
        moved = other.info("stats")["total_net_output_bytes"] - sent
    assert age is not None
    assert 0 <= age <= time.time() - before + 0.001
    # What one answer to `info` takes, and little else.
    assert moved < 20_000


def _put(settings: Settings, message: bytes) -> float | None:
    """Returns the age that a queue has with this message alone."""
    with connect(settings) as connection:
        connection.delete(QUEUES["bulk"])
        connection.lpush(QUEUES["bulk"], message)
    found = _by_name(read_queue_depths(settings))["bulk"]
    assert found.depth == 1
    return found.oldest_age_seconds


@pytest.mark.parametrize(
    "message",
    [
        b"not json",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"headers": null}',
        b'{"headers": {}}',
        b'{"headers": {"sent_at": null}}',
        b'{"headers": {"sent_at": "yesterday"}}',
        b'{"headers": {"sent_at": NaN}}',
        b'{"headers": {"sent_at": -Infinity}}',
        b'{"headers": {"sent_at": 1' + b"0" * 400 + b"}}",
        b'{"headers": {"sent_at": 1.2.3}}',
        b'{"headers": {"argsrepr": "\\"sent_at\\": 5"}}',
        b"[" * 100_000,
    ],
    ids=lambda message: repr(message[:40]),
)
def test_a_message_that_does_not_say_when_it_was_sent_is_of_unknown_age(
    message: bytes, alone: Settings
) -> None:
    assert _put(alone, message) is None


@pytest.mark.parametrize("form", ['"sent_at":%d', '"sent_at" :\n %.6f', '"sent_at": %.12e'])
def test_a_time_is_read_however_it_is_written(form: str, alone: Settings) -> None:
    message = '{"body": "' + "A" * 100_000 + '", "headers": {' + form % (time.time() - 100) + "}}"
    assert _put(alone, message.encode()) == pytest.approx(100, abs=5)


def test_a_host_whose_clock_is_ahead_gives_no_negative_age(alone: Settings) -> None:
    began = time.time()
    ahead = json.dumps({"headers": {"sent_at": began + 3600}})
    behind = json.dumps({"headers": {"sent_at": began - 100}})
    assert _put(alone, ahead.encode()) == 0
    age = _put(alone, behind.encode())
    assert age is not None
    assert 100 <= age <= 100 + time.time() - began


def test_what_workers_have_and_what_they_try_again_later_is_in_hand(alone: Settings) -> None:
    with connect(alone) as connection:
        put(connection, ["a", "b", "c"])
        put(connection, ["d"], "bulk")
        hand = Hand(connection, alone, worker="w", queues=["interactive", "bulk"])
        first, *others = hand.take(3, MOST_BYTES)
        hand.postpone(first.tag, pack_again(opened(first.raw), first.queue, retries=1), 1000)
        state = read_queue_depths(alone)
        assert [queue.depth for queue in state.queues] == [0, 1]
        assert state.in_hand == 3
        hand.settle([answered(each) for each in others], expires_seconds=60)
        assert read_queue_depths(alone).in_hand == 1
        hand.close()


def test_a_retried_request_keeps_the_time_at_which_it_was_first_sent(alone: Settings) -> None:
    with connect(alone) as connection:
        connection.lpush(QUEUES["bulk"], json.dumps(_celery_message(sent_at=time.time() - 100)))
        connection.lpush(QUEUES["bulk"], json.dumps(_celery_message()))
        hand = Hand(connection, alone, worker="w", queues=["bulk"])
        for age in (pytest.approx(100, abs=60), None):
            [taken] = hand.take(1, MOST_BYTES)
            hand.postpone(taken.tag, pack_again(opened(taken.raw), "bulk", retries=1), 0)
            hand.take(0, MOST_BYTES)
            assert _by_name(read_queue_depths(alone))["bulk"].oldest_age_seconds == age
            hand.take(1, MOST_BYTES)
        hand.close()


def _celery_message(**headers: Any) -> dict[str, Any]:
    """Returns a message of a host without this package."""
    body = base64.b64encode(b'[[], {"request": {}}, {}]').decode()
    return {
        "body": body,
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": TASK_NAME, "id": str(len(headers)), **headers},
        "properties": {"body_encoding": "base64"},
    }


def test_the_worker_passes_over_the_header(client: Client, photographs: list[Path]) -> None:
    request_id = client.submit(photographs[0].read_bytes(), "weapons")
    assert len(client.collect(request_id)) == 1
    with connect(client.settings) as connection:
        assert b"sent_at" not in connection.get(f"celery-task-meta-{request_id}")


def test_the_command_prints_a_table_and_the_same_as_json(alone: Settings) -> None:
    client = Client(alone)
    began = time.time()
    for _ in range(3):
        client.submit(b"x", "weapons", queue="bulk")
    found = json.loads(run(alone, "--format", "json").stdout)
    now = time.time()
    assert found["in_hand"] == 0
    interactive, bulk = found["queues"]
    assert interactive == {"queue": "interactive", "depth": 0, "oldest_age_seconds": 0.0}
    assert (bulk["queue"], bulk["depth"]) == ("bulk", 3)
    assert 0 < bulk["oldest_age_seconds"] <= now - began + 0.001
    lines = [line.split() for line in run(alone).stdout.splitlines()]
    assert lines[1] == ["interactive", "0"]
    assert lines[2][:2] == ["bulk", "3"]
    assert re.fullmatch(r"\d+\.\d", lines[2][2])
    assert lines[3] == ["(in", "hand)", "0"]


def _samples(text: str) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels.get("queue", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_command_prints_what_prometheus_reads(alone: Settings) -> None:
    began = time.time()
    Client(alone).submit(b"x", "weapons")
    done = run(alone, "--format", "prometheus")
    now = time.time()
    assert done.returncode == 0, done.stderr
    found = _samples(done.stdout)
    age = found.pop(("evenhand_queue_oldest_age_seconds", "interactive"))
    assert 0 < age <= now - began + 0.001
    assert found == {
        ("evenhand_redis_up", ""): 1,
        ("evenhand_queue_depth", "interactive"): 1,
        ("evenhand_queue_depth", "bulk"): 0,
        ("evenhand_queue_oldest_age_seconds", "bulk"): 0,
        ("evenhand_requests_in_hand", ""): 0,
    }
    assert done.stdout.count("# TYPE") == done.stdout.count(" gauge\n") == 4


def test_an_unknown_age_is_not_a_number_to_prometheus() -> None:
    text = queue_metrics_text(BrokerState((QueueState("bulk", 1, None),), 7))
    assert 'evenhand_queue_oldest_age_seconds{queue="bulk"} NaN' in text
    assert _samples(text)[("evenhand_requests_in_hand", "")] == 7


def test_an_unknown_age_is_called_unknown() -> None:
    state = BrokerState((QueueState("bulk", 1, None), QueueState("interactive", 0, 0.0)), 7)
    assert state.described == (
        "1 waiting in bulk (the oldest unknown), 0 waiting in interactive, 7 in hand"
    )


@contextmanager
def _running(settings: Settings, *words: str) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    env = {**_environment(settings), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        _command(*words), env=env, stdout=pipe, stderr=pipe, text=True, cwd=ROOT
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_exporter_reads_again_at_each_scrape_and_ends_cleanly(
    number: signal.Signals, alone: Settings
) -> None:
    with _running(alone, "--serve", "127.0.0.1:0") as process:
        assert process.stderr is not None
        [url] = re.findall(r"http://127\.0\.0\.1:\d+/metrics", process.stderr.readline())
        depths = []
        for _ in range(3):
            found = _samples(httpx.get(url).text)
            depths.append(found[("evenhand_queue_depth", "interactive")])
            Client(alone).submit(b"x", "weapons")
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert depths == [0, 1, 2]
    assert (process.returncode, out, err) == (0, "", "")


def test_a_scrape_without_redis_says_so_and_gives_no_depth() -> None:
    with EmbeddedRedis() as server:
        settings = load_settings(broker_url=server.url)
        with serve_queue_metrics(settings, Address("127.0.0.1", 0)) as port:
            url = f"http://127.0.0.1:{port}/metrics"
            assert _samples(httpx.get(url).text)[("evenhand_redis_up", "")] == 1
            server.stop()
            answer = httpx.get(url)
            assert (answer.status_code, _samples(answer.text)) == (
                200,
                {("evenhand_redis_up", ""): 0},
            )
            server.start()
            assert ("evenhand_queue_depth", "bulk") in _samples(httpx.get(url).text)
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_the_exporter_says_where_it_cannot_listen(alone: Settings) -> None:
    with (
        serve_queue_metrics(alone, Address("127.0.0.1", 0)) as taken,
        pytest.raises(SettingsError, match=rf"127\.0\.0\.1:{taken}: cannot listen .*free port"),
        serve_queue_metrics(alone, Address("127.0.0.1", taken)),
    ):
        pass


def test_a_wrong_address_is_refused(alone: Settings) -> None:
    done = run(alone, "--serve", "localhost")
    assert done.returncode == 2
    assert "--serve: 'localhost' is not an address. Write HOST:PORT or PORT" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--watch", "1", "--serve", "9808"),
        ("--watch", "1", "--format", "json"),
        ("--serve", "0", "--format", "prometheus"),
    ],
)
def test_ways_to_show_that_exclude_each_other_are_refused(
    words: tuple[str, ...], alone: Settings
) -> None:
    done = run(alone, *words)
    assert done.returncode == 2
    assert "only one of --watch, --serve and --format" in done.stderr


def test_watching_shows_the_table_again_and_again_until_it_is_stopped(alone: Settings) -> None:
    with _running(alone, "--watch", "0.2") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        Client(alone).submit(b"x", "weapons")
        while not process.stdout.readline().startswith("interactive         1"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert lines[0].startswith("queue")
    assert lines[1].split() == ["interactive", "0"]
    assert (process.returncode, err) == (0, "")


def test_watching_on_a_terminal_draws_over_the_table_before(alone: Settings) -> None:
    master, slave = pty.openpty()
    env = {**_environment(alone), "TERM": "xterm"}
    with subprocess.Popen(_command("--watch", "0.1"), env=env, stdout=slave) as process:
        os.close(slave)
        shown = b""
        while shown.count(b"(in hand)") < 3:
            shown += os.read(master, 4096)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 0
    os.close(master)
    assert b"\x1b[1A" in shown  # the cursor goes up


def test_a_redis_that_is_away_ends_the_command_with_3() -> None:
    away = load_settings(broker_url="redis://127.0.0.1:9/0")
    for words in ((), ("--serve", "0"), ("--watch", "1")):
        done = run(away, *words)
        assert (done.returncode, done.stdout) == (3, "")
        assert "redis://127.0.0.1:9/0: Redis does not answer" in done.stderr
    with pytest.raises(BrokerUnavailable):
        read_queue_depths(away)


def test_without_the_prometheus_library_the_error_says_how_to_get_it(alone: Settings) -> None:
    code = "import sys; sys.modules['prometheus_client'] = None; from moderation import __main__; "
    code += "sys.argv = ['moderation', 'queues', '--format', 'prometheus']; __main__.main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=_environment(alone), capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "pip install 'evenhand[metrics]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_tells_the_age_and_what_is_in_hand(alone: Settings) -> None:
    Client(alone).submit(b"x", "weapons")
    done = moderation("doctor", "--format", "json", env=leading_to(alone))
    [found] = [check["found"] for check in json.loads(done.stdout) if check["name"] == "queues"]
    pattern = r"1 waiting in interactive \(the oldest \d+\.\d s\), 0 waiting in bulk, 0 in hand"
    assert re.fullmatch(pattern, found)
