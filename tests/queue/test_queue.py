"""The whole way over a real Redis and a real worker process."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import resource
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import celery
import httpx
import psutil
import pytest
import redis
from PIL import Image

from moderation import acollect, asubmit, collect, strictest_action, submit
from moderation.client.client import Client, default_client
from moderation.commands.scan import scan_images
from moderation.commands.submit import submit_images
from moderation.embedded_servers import EmbeddedRedis, EmbeddedWorker
from moderation.errors import (
    BrokerUnavailable,
    ImageError,
    ImageUnavailable,
    RequestError,
    SettingsError,
    VerdictTimeout,
    WorkerError,
)
from moderation.messages import ImageReference, ModerationResponse, Verdict
from moderation.policy import load_policies, starter_policies
from moderation.queue.keys import HAND
from moderation.scoring.pipeline_loading import load_pipeline
from moderation.settings import Settings, load_settings
from tests.conftest import SERVED
from tests.support.hostile_files import saved
from tests.support.photo_server import PhotoServer
from tests.support.waiting import PATIENCE_SECONDS, until

ALL = ["community-photos", "document-privacy", "weapons"]

#: Variables of a worker that may fetch from this machine, however long it takes.
FETCHES_HERE = {
    "MODERATION_ALLOWED_HOSTS": "127.0.0.1",
    "MODERATION_ALLOWED_SCHEMES": "http,https",
    "MODERATION_ALLOWED_NETWORKS": "127.0.0.0/8",
    "MODERATION_FETCH_TIMEOUT_SECONDS": f"{PATIENCE_SECONDS}",
}


@pytest.fixture(scope="module")
def server(photographs: list[Path]) -> Iterator[PhotoServer]:
    with PhotoServer(photographs[0]) as running:
        yield running


@pytest.fixture(scope="module")
def scanned(settings: Settings, photographs: list[Path]) -> list[dict[str, Any]]:
    """The rows that `scan` gives in this process, without a queue."""
    policies = load_policies(starter_policies(), model="starter")
    with load_pipeline(settings, policies, override_model="starter") as pipeline:
        return [row for rows in scan_images(pipeline, photographs, 10**8) for row in rows]


def _same(verdict: Verdict, row: dict[str, Any]) -> None:
    assert verdict.policy.model_dump() == row["policy"]
    assert verdict.model.model_dump() == row["model"]
    assert (verdict.action, verdict.image_sha256) == (row["action"], row["image_sha256"])
    for ours, scanned_label in zip(verdict.labels, row["labels"], strict=True):
        assert ours.fired == scanned_label["fired"]
        assert ours.score == pytest.approx(scanned_label["score"], abs=1e-3)


def test_the_queue_gives_the_verdicts_that_scan_gives(
    client: Client, photographs: list[Path], scanned: list[dict[str, Any]]
) -> None:
    ids = [client.submit(path, ALL, queue="bulk") for path in photographs]
    verdicts = [verdict for request_id in ids for verdict in client.collect(request_id)]
    assert {verdict.action for verdict in verdicts} == {"allow", "review", "block"}
    for verdict, row in zip(verdicts, scanned, strict=True):
        _same(verdict, row)


def test_every_kind_of_reference_gives_the_same_verdict(
    client: Client, photographs: list[Path], server: PhotoServer
) -> None:
    path = photographs[0]
    images = (path, str(path), path.read_bytes(), f"{server.url}/photo")
    verdicts = [client.collect(client.submit(image, "weapons"))[0] for image in images]
    assert {(verdict.action, verdict.policy.id) for verdict in verdicts} == {("allow", "weapons")}
    # One decision, however the image came; only the first request can have waited for it.
    assert len({verdict.decision_id for verdict in verdicts}) == 1
    assert [set(verdict.timings) for verdict in verdicts[1:]] == [{"fetch"}] * 3


def test_many_threads_and_both_queues_each_get_their_own_answer(
    client: Client, photographs: list[Path], scanned: list[dict[str, Any]]
) -> None:
    expected = {row["image_sha256"]: row for row in scanned if row["policy"]["id"] == "weapons"}

    def ask(i: int) -> Verdict:
        queue: Any = ("interactive", "bulk")[i % 2]
        image = photographs[i % len(photographs)]
        [verdict] = client.collect(client.submit(image, "weapons", queue=queue))
        return verdict

    with ThreadPoolExecutor(16) as pool:
        for verdict in pool.map(ask, range(60)):
            _same(verdict, expected[verdict.image_sha256])


def test_asyncio_waits_for_many_at_a_time(client: Client, photographs: list[Path]) -> None:
    async def ask(path: Path) -> str:
        request_id = await client.asubmit(path, "document-privacy")
        [verdict] = await client.acollect(request_id)
        return verdict.request_id if verdict.request_id == request_id else "another's"

    async def ask_all() -> list[str]:
        return await asyncio.gather(*(ask(path) for path in photographs))

    answers = asyncio.run(ask_all())
    assert len(set(answers)) == len(photographs)
    assert "another's" not in answers


def test_submitting_many_goes_on_when_a_full_queue_has_room(
    settings: Settings, worker: EmbeddedWorker, photographs: list[Path]
) -> None:
    narrow = Client(settings.model_copy(update={"max_queue_length": 3}))
    images = [(path.name, partial(str, path)) for path in photographs * 3]
    rows = [
        row for rows in submit_images(narrow, images, ["weapons"], queue="bulk") for row in rows
    ]
    assert [row["image"] for row in rows] == [name for name, _ in images]
    assert not [row for row in rows if "error" in row]


def test_submitting_to_a_queue_that_stays_full_gives_up_in_time(alone: Settings) -> None:
    limits = {"max_queue_length": 1, "verdict_timeout_seconds": 0.5}
    client = Client(alone.model_copy(update=limits))
    client.submit("/srv/a.jpg", "weapons")
    [[row]] = submit_images(client, [("a", lambda: b"x")], ["weapons"], queue="interactive")
    assert row["error"]["type"] == "QueueFull"


def test_the_modules_functions_use_the_environment(
    settings: Settings,
    worker: EmbeddedWorker,
    photographs: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MODERATION_BROKER_URL", settings.broker_url.get_secret_value())
    default_client.cache_clear()
    try:
        [verdict] = collect(submit(photographs[0], "weapons"), timeout_seconds=PATIENCE_SECONDS)

        async def ask() -> tuple[Verdict, ...]:
            request_id = await asubmit(photographs[0], "weapons")
            return await acollect(request_id, timeout_seconds=PATIENCE_SECONDS)

        [other] = asyncio.run(ask())
    finally:
        default_client.cache_clear()
    assert verdict.labels == other.labels


def test_a_host_without_this_package_sends_plain_json(
    settings: Settings, worker: EmbeddedWorker, photographs: list[Path]
) -> None:
    url = settings.broker_url.get_secret_value()
    app = celery.Celery("another-host", broker=url, backend=url, set_as_current=False)
    request = {"request_id": "plain-1", "policies": ["weapons"]}
    image = {"bytes": base64.b64encode(photographs[0].read_bytes()).decode()}
    result = app.send_task(
        "moderation.moderate",
        kwargs={"request": {**request, "image": image}},
        task_id="plain-1",
        queue="moderation.interactive",
    )
    response = result.get(timeout=PATIENCE_SECONDS)
    assert response["schema_version"] == 1
    assert response["verdicts"][0]["action"] == "allow"


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (ImageReference(path="/etc/hostname"), RequestError, "in no folder that the worker"),
        (ImageReference(url="http://169.254.169.254/latest"), RequestError, "may not fetch from"),
        (ImageReference(key="s3://bucket/a.jpg"), RequestError, "may not read this key"),
        (b"<svg onload='alert(1)'/>", ImageError, "not an image of type"),
    ],
)
def test_a_refused_image_gives_the_workers_own_typed_error(
    image: Any, error: type[Exception], message: str, client: Client
) -> None:
    with pytest.raises(error, match=message) as caught:
        client.collect(client.submit(image, "weapons"))
    assert type(caught.value) is error
    assert caught.value.remedy  # type: ignore[attr-defined]


def test_an_unknown_policy_is_refused_with_those_that_are_served(
    client: Client, photographs: list[Path]
) -> None:
    with pytest.raises(RequestError, match="no policy is called wepons") as caught:
        client.collect(client.submit(photographs[0], ["weapons", "wepons"]))
    assert "community-photos, document-privacy, weapons" in str(caught.value)


@pytest.mark.parametrize("task", ["moderation.moderate", "moderation.embed"])
@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"image": {}, "policies": ["weapons"]},
        {"image": {"bytes": "AA=="}},
        {"schema_version": 2},
        [],
        "x",
        None,
    ],
)
def test_a_message_of_another_shape_is_refused(task: str, request_: Any, client: Client) -> None:
    result = client._app.send_task(task, kwargs={"request": request_})
    with pytest.raises(RequestError, match="request: "):
        client.collect(result.id)


def test_wrong_arguments_of_the_task_are_refused(client: Client) -> None:
    result = client._app.send_task("moderation.moderate", kwargs={"nonsense": 1})
    with pytest.raises(RequestError, match="it holds no request"):
        client.collect(result.id)


def test_a_transient_failure_is_retried_until_it_is_gone(
    client: Client, server: PhotoServer
) -> None:
    [verdict] = client.collect(client.submit(f"{server.url}/flaky?queue", "weapons"))
    assert verdict.action == "allow"
    assert server.asked["/flaky?queue"] == 3


def test_retries_end_and_the_transient_error_is_the_answer(
    client: Client, server: PhotoServer
) -> None:
    with pytest.raises(ImageUnavailable, match="answered 503"):
        client.collect(client.submit(f"{server.url}/down?queue", "weapons"))
    assert server.asked["/down?queue"] == 3


def test_a_permanent_failure_is_not_retried(client: Client, server: PhotoServer) -> None:
    with pytest.raises(RequestError, match="answered 404"):
        client.collect(client.submit(f"{server.url}/gone?queue", "weapons"))
    assert server.asked["/gone?queue"] == 1


def test_a_verdict_expires_and_no_image_stays_in_redis_or_in_the_log(
    settings: Settings, client: Client, worker: EmbeddedWorker, photographs: list[Path]
) -> None:
    content = photographs[1].read_bytes()
    request_id = client.submit(content, "weapons")
    client.collect(request_id)
    piece = base64.b64encode(content)[3000:3060]
    with redis.Redis.from_url(settings.broker_url.get_secret_value()) as connection:
        result = f"celery-task-meta-{request_id}"
        assert 0 < connection.ttl(result) <= settings.result_expires_seconds
        assert json.loads(connection.get(result))["status"] == "SUCCESS"
        until(lambda: connection.hlen(HAND) == 0)
        for key in connection.scan_iter():
            if connection.type(key) == b"string":
                assert piece not in connection.get(key)
    until(lambda: request_id in worker.log())
    assert piece.decode() not in worker.log()


def test_without_a_worker_the_wait_ends_in_time_and_can_go_on_later(
    photographs: list[Path], alone: Settings
) -> None:
    client = Client(alone)
    request_id = client.submit(photographs[0].read_bytes(), "weapons")
    with pytest.raises(VerdictTimeout, match=request_id):
        client.collect(request_id, timeout_seconds=0)
    with pytest.raises(VerdictTimeout):
        asyncio.run(client.acollect(request_id, timeout_seconds=0.2))
    with EmbeddedWorker(alone, ["--model", "starter", *SERVED]) as late:
        assert client.collect(request_id, timeout_seconds=PATIENCE_SECONDS)
        late.process.send_signal(signal.SIGINT)
        assert late.process.wait(PATIENCE_SECONDS) == 0


def test_a_redis_that_is_away_or_another_server_is_a_typed_error(server: PhotoServer) -> None:
    for url in ("redis://127.0.0.1:9/0", server.url.replace("http", "redis")):
        client = Client(load_settings(broker_url=url))
        with pytest.raises(BrokerUnavailable, match=rf"{re.escape(url)}.*: Redis does not"):
            client.submit(b"x", "weapons")
        with pytest.raises(BrokerUnavailable):
            client.collect("some-id")


def test_a_full_redis_is_a_typed_error_that_does_not_ask_to_start_it() -> None:
    with EmbeddedRedis() as full, redis.Redis.from_url(full.url) as connection:
        connection.config_set("maxmemory", "1mb")
        client = Client(load_settings(broker_url=full.url))
        with pytest.raises(BrokerUnavailable, match=r"Redis refuses .*Look at its memory"):
            client.submit(b"x" * 2_000_000, "weapons")


def test_no_credential_of_a_url_reaches_the_workers_log(
    client: Client, server: PhotoServer, worker: EmbeddedWorker
) -> None:
    url = server.url.replace("http://", "http://alice:sesame@")
    ids = []
    for path in ("/photo?sig=sesame", "/gone?sig=sesame"):
        request_id = client.submit(url + path, "weapons")
        try:
            client.collect(request_id)
        except RequestError:
            assert path.startswith("/gone")
        ids.append(request_id)
    until(lambda: all(request_id in worker.log() for request_id in ids))
    assert "sesame" not in worker.log()


def test_a_request_without_an_id_takes_that_of_its_task(
    client: Client, photographs: list[Path]
) -> None:
    image = {"path": str(photographs[0])}
    request = {"image": image, "policies": ["weapons"]}
    result = client._app.send_task("moderation.moderate", kwargs={"request": request})
    [verdict] = client.collect(result.id)
    assert verdict.request_id == result.id


def test_an_answer_is_read_past_new_fields_and_refused_in_another_shape(
    client: Client, photographs: list[Path]
) -> None:
    [verdict] = client.collect(client.submit(photographs[0], "weapons"))
    message = {"request_id": "x", "verdicts": [{**verdict.model_dump(mode="json"), "new": 1}]}
    assert ModerationResponse.read({**message, "newer": True}).verdicts == (verdict,)
    with pytest.raises(WorkerError, match="shape that cannot be read"):
        ModerationResponse.read({"schema_version": 2})


def test_no_verdict_is_never_taken_for_allow() -> None:
    with pytest.raises(ValueError, match="empty"):
        strictest_action([])


def test_the_strictest_of_several_verdicts_decides(client: Client, photographs: list[Path]) -> None:
    page = next(path for path in photographs if path.name == "page.png")
    verdicts = client.collect(client.submit(page, ALL))
    assert [verdict.action for verdict in verdicts] == ["review", "review", "allow"]
    assert strictest_action(verdicts) == "review"
    # A page 2:1: at its centre it is none of the first policy's labels, and as a whole it is one.
    assert [label.label for label in verdicts[0].reasons] == ["screenshot"]
    assert verdicts[0].box == (0, 0, 384, 191)
    assert [label.label for label in verdicts[1].reasons] == ["page-of-text"]


def test_a_wrong_password_is_an_error_of_the_settings(redis_server: EmbeddedRedis) -> None:
    url = f"redis://:wrong@127.0.0.1:{redis_server.port}/0"
    client = Client(load_settings(broker_url=url))
    with pytest.raises(SettingsError, match="Redis refuses to let us in") as caught:
        client.submit(b"x", "weapons")
    assert "wrong" not in str(caught.value).replace("wrong number", "").replace("WRONGPASS", "")


def test_a_stopping_worker_answers_what_it_has_and_leaves_the_rest(
    photographs: list[Path],
) -> None:
    options = ["--model", "starter", "--policy", "weapons", "--concurrency", "4"]
    with (
        EmbeddedRedis() as server,
        redis.Redis.from_url(server.url) as connection,
        PhotoServer(photographs[0]) as photo_server,
    ):
        own = load_settings(broker_url=server.url)
        client = Client(own)
        with EmbeddedWorker(own, options, FETCHES_HERE) as first:
            held = [client.submit(f"{photo_server.url}/held?{n}", "weapons") for n in range(4)]
            until(lambda: sum(photo_server.asked.values()) == 4)
            rest = [client.submit(path.read_bytes(), "weapons") for path in photographs]
            first.process.send_signal(signal.SIGTERM)
            until(lambda: "Stopping when all in hand is answered" in first.log())
            photo_server.gate.set()
            assert first.process.wait(PATIENCE_SECONDS) == 0
        assert all(client.collect(request_id, timeout_seconds=0) for request_id in held)
        assert connection.llen("moderation.interactive") == len(rest)
        assert connection.hlen(HAND) == 0
        with EmbeddedWorker(own, options):
            assert all(client.collect(name, timeout_seconds=PATIENCE_SECONDS) for name in rest)


def test_a_worker_outlives_a_restart_of_redis(photographs: list[Path]) -> None:
    with EmbeddedRedis() as server, PhotoServer(photographs[0]) as photo_server:
        own = load_settings(broker_url=server.url)
        client = Client(own)
        options = ["--model", "starter", "--policy", "weapons", "--concurrency", "2"]
        with EmbeddedWorker(own, options, FETCHES_HERE) as running:
            client.submit(f"{photo_server.url}/held", "weapons")
            until(lambda: photo_server.asked["/held"])
            server.stop()
            until(lambda: "Connection to broker lost" in running.log())
            server.start()
            photo_server.gate.set()
            for path in photographs[:6]:
                request_id = client.submit(path.read_bytes(), "weapons")
                assert client.collect(request_id, timeout_seconds=PATIENCE_SECONDS)
            assert running.process.poll() is None


def test_a_worker_that_cannot_start_says_why(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    settings = load_settings(broker_url=redis_server.url)
    for model, variables, why in (
        ("./no-such-model", {}, "moderation model pull"),
        ("starter", {"MODERATION_RENDITIONS": f"{tmp_path}/none"}, "MODERATION_RENDITIONS"),
    ):
        options = ["--model", model, "--policy", "weapons"]
        with (
            pytest.raises(WorkerError, match=why),
            EmbeddedWorker(settings, options, variables),
        ):
            pass


def test_an_interactive_request_passes_a_backlog_of_bulk(
    client: Client, worker: EmbeddedWorker, photographs: list[Path]
) -> None:
    # Small, so that they are sent quickly, and all different, so that the log does not answer.
    images = [saved(Image.new("RGB", (64, 64), (n, 0, 0))) for n in range(150)]
    worker.process.send_signal(signal.SIGSTOP)
    try:
        backlog = [client.submit(image, "weapons", queue="bulk") for image in images]
        last = client.submit(photographs[0], "weapons")
    finally:
        worker.process.send_signal(signal.SIGCONT)
    for request_id in (*backlog, last):
        client.collect(request_id, timeout_seconds=PATIENCE_SECONDS)
    # In order of arrival it would have been the last of all.
    before = worker.log().partition(f"{last}: weapons")[0]
    assert sum(f"{request_id}: weapons" in before for request_id in backlog) < len(backlog) / 2


def test_idle_connections_to_the_metrics_keep_no_request_and_no_scrape_out(
    client: Client, worker: EmbeddedWorker, photographs: list[Path]
) -> None:
    found = re.search(
        r"Prometheus is answered on (http://127\.0\.0\.1:(\d+)/metrics)", worker.log()
    )
    assert found is not None
    process = psutil.Process(worker.process.pid)
    files, threads = process.num_fds(), process.num_threads()
    with ExitStack() as connections:
        idle = [
            connections.enter_context(socket.create_connection(("127.0.0.1", int(found[2])), 60))
            for _ in range(_as_many_as_files(1000))
        ]
        for connection in idle[::7]:
            with suppress(OSError):  # it was cut off for a later one
                connection.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        assert "evenhand_redis_up 1.0" in httpx.get(found[1], timeout=60).text
        assert process.num_fds() < files + 200
        assert process.num_threads() < threads + 100
        request_id = client.submit(photographs[0], "weapons")
        assert client.collect(request_id, timeout_seconds=60)[0].request_id == request_id
        assert "evenhand_redis_up 1.0" in httpx.get(found[1], timeout=60).text


def _as_many_as_files(wanted: int) -> int:
    """Returns how many connections may be open here, where the limit of files is low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, wanted + 500)), hard))
    return min(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 300)
