"""Images embedded by a real worker over a real Redis."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import redis
from PIL import Image

from moderation.client.client import Client
from moderation.client.embedding import embed_on_workers, feature_rows
from moderation.embedded_servers import EmbeddedRedis, EmbeddedWorker
from moderation.encoders.options import ModelOptions
from moderation.encoders.registry import load_encoder
from moderation.errors import (
    BrokerUnavailable,
    ImageError,
    ModelError,
    RequestError,
    SettingsError,
    VerdictTimeout,
    WorkerError,
)
from moderation.images.looks import DEFAULT_LOOKING
from moderation.images.pixels import read_sights
from moderation.messages import EmbeddingResponse
from moderation.queue.keys import HAND
from moderation.settings import Settings, load_settings
from tests.support.hostile_files import saved
from tests.support.stub_encoder import StubEncoder
from tests.support.waiting import until

Images = list[tuple[str, bytes]]


@pytest.fixture(scope="module")
def images(photographs: list[Path]) -> Images:
    contents = [path.read_bytes() for path in photographs]
    return [(hashlib.sha256(content).hexdigest(), content) for content in contents]


@pytest.fixture
def broker_url(settings: Settings, worker: EmbeddedWorker) -> str:
    """Where the running worker listens."""
    return settings.broker_url.get_secret_value()


@pytest.fixture
def lonely() -> Iterator[EmbeddedRedis]:
    """A Redis without a worker."""
    with EmbeddedRedis() as server:
        yield server


def keys_in(url: str) -> set[bytes]:
    """Returns the keys in Redis once no request is under way, save bookkeeping of workers."""
    with redis.Redis.from_url(url) as connection:
        until(lambda: connection.hlen(HAND) == 0)
        kept = (b"_kombu", b"evenhand.worker.", b"evenhand.swept")
        return {key for key in connection.scan_iter() if not key.startswith(kept)}


def test_features_of_workers_are_those_of_the_same_model_here(
    broker_url: str, images: Images
) -> None:
    encoder = load_encoder("starter", ModelOptions())
    answers = dict(embed_on_workers(images, model="starter", broker_url=broker_url))
    assert answers.keys() == {key for key, _ in images}
    for key, content in images:
        answer = answers[key]
        assert isinstance(answer, EmbeddingResponse)
        assert answer.image_sha256 == key
        assert answer.model == encoder.stamp
        ways = [encoder.preprocessing]
        [sight] = read_sights(content, ways, DEFAULT_LOOKING, max_pixels=10**8)
        here = encoder.image_features(sight.squares)
        rows = feature_rows(answer)
        assert (answer.looking, answer.looks) == (DEFAULT_LOOKING.text, len(sight.looks))
        assert np.abs(rows - here).max() < 1e-5
        assert rows.shape == here.shape
        assert rows.dtype == np.float32


def test_more_images_than_the_window_holds_all_come_back_and_are_read_as_there_is_room(
    broker_url: str, images: Images
) -> None:
    read: list[str] = []

    def many() -> Iterator[tuple[str, bytes]]:
        for i in range(40):
            read.append(str(i))
            yield str(i), images[i % len(images)][1]

    given: set[str] = set()
    answers = embed_on_workers(many(), model="starter", broker_url=broker_url, in_flight=4)
    for key, answer in answers:
        given.add(key)
        assert isinstance(answer, EmbeddingResponse)
        assert answer.image_sha256 == images[int(key) % len(images)][0]
        assert len(read) <= len(given) + 4
    assert given == {str(i) for i in range(40)}


def test_a_bad_image_is_an_answer_and_costs_no_other(broker_url: str, images: Images) -> None:
    bad = [("nonsense", b"nonsense"), ("empty", b""), ("half", images[0][1][:500])]
    mixed = [bad[0], *images[:2], bad[1], bad[2], *images[2:]]
    before = keys_in(broker_url)
    answers = dict(embed_on_workers(mixed, model="starter", broker_url=broker_url, in_flight=3))
    refused = {key for key, answer in answers.items() if type(answer) is ImageError}
    assert refused == {"nonsense", "empty", "half"}
    assert answers.keys() - refused == {key for key, _ in images}
    until(lambda: keys_in(broker_url) <= before)


def test_images_that_are_all_refused_at_once_do_not_end_the_run(
    broker_url: str, images: Images
) -> None:
    mixed = [*((str(i), b"") for i in range(5)), images[0]]
    answers = list(embed_on_workers(mixed, model="starter", broker_url=broker_url, in_flight=2))
    assert [type(answer) for _, answer in answers] == [ImageError] * 5 + [EmbeddingResponse]


def test_no_images_ask_nothing_of_redis() -> None:
    url = "redis://127.0.0.1:9/0"
    assert list(embed_on_workers([], model="starter", broker_url=url)) == []


def test_a_model_that_the_worker_has_not_loaded_is_refused_with_what_to_do(
    broker_url: str, images: Images
) -> None:
    before = keys_in(broker_url)
    with pytest.raises(RequestError, match=r"the model \./other is not loaded here") as caught:
        list(embed_on_workers(images, model="./other", broker_url=broker_url))
    assert "`--model ./other`" in caught.value.remedy
    assert "starter" not in str(caught.value)
    until(lambda: keys_in(broker_url) <= before)


def answered(url: str, results: list[tuple[str, object]]) -> None:
    """Takes requests off the queue, oldest first, and answers each as docs/messages.md says."""
    with redis.Redis.from_url(url) as connection:
        for status, result in results:
            message = connection.rpop("moderation.bulk")
            assert isinstance(message, bytes)
            request_id = json.loads(message)["headers"]["id"]
            meta = {"status": status, "result": result, "task_id": request_id}
            connection.set(f"celery-task-meta-{request_id}", json.dumps(meta))


def failure(kind: str, module: str, *arguments: str) -> tuple[str, object]:
    fields = {"exc_type": kind, "exc_message": arguments, "exc_module": module}
    return "FAILURE", fields


def test_answers_that_are_there_come_before_the_error_that_ends_the_run(
    lonely: EmbeddedRedis, images: Images
) -> None:
    response = EmbeddingResponse(
        request_id="x",
        image_sha256=images[1][0],
        model=StubEncoder().stamp,
        looking=DEFAULT_LOOKING.text,
        looks=2,
        features=base64.b64encode(np.ones(2, dtype="<f4").tobytes()),
        width=1,
    )
    refused = failure("ModelError", "moderation.errors", "an image feature is not finite", "", "")

    def sent() -> Iterator[tuple[str, bytes]]:
        yield from images[:3]
        answered(lonely.url, [refused, ("SUCCESS", response.model_dump(mode="json"))])

    answers = embed_on_workers(sent(), model="starter", broker_url=lonely.url)
    assert next(answers) == (images[1][0], response)
    with pytest.raises(ModelError, match="not finite"):
        next(answers)
    assert keys_in(lonely.url) == set()


def test_a_worker_that_does_not_know_the_task_ends_the_run(
    lonely: EmbeddedRedis, images: Images
) -> None:
    def sent() -> Iterator[tuple[str, bytes]]:
        yield images[0]
        unknown = failure("NotRegistered", "celery.exceptions", "moderation.embed")
        answered(lonely.url, [unknown])

    with pytest.raises(WorkerError, match="NotRegistered"):
        list(embed_on_workers(sent(), model="starter", broker_url=lonely.url))


def test_without_a_worker_the_wait_ends_in_the_stated_time_and_the_images_leave_redis(
    lonely: EmbeddedRedis, images: Images
) -> None:
    start = time.monotonic()
    with pytest.raises(VerdictTimeout, match=r"for 0\.5 s.*moderation worker --model starter"):
        list(embed_on_workers(images, model="starter", broker_url=lonely.url, patience_seconds=0.5))
    assert keys_in(lonely.url) == set()
    assert time.monotonic() - start >= 0.5


def test_a_run_that_is_closed_midway_leaves_nothing_in_redis(
    broker_url: str, images: Images
) -> None:
    before = keys_in(broker_url)
    # Of one look each, so that what is in hand is answered while the client waits for it.
    small = Image.open(io.BytesIO(images[0][1])).convert("RGB").resize((64, 64))
    many = [(str(i), saved(small, "PNG")) for i in range(200)]
    answers = embed_on_workers(many, model="starter", broker_url=broker_url, in_flight=100)
    with closing(answers):
        next(answers)
    until(lambda: keys_in(broker_url) <= before)


def test_an_interrupted_run_leaves_nothing_in_redis_and_nobody_elses_request_is_touched(
    lonely: EmbeddedRedis, images: Images
) -> None:
    others = [Client(load_settings(broker_url=lonely.url)) for _ in range(2)]
    for other in others:
        other.submit(images[0][1], "weapons", queue="bulk")

    def interrupted() -> Iterator[tuple[str, bytes]]:
        yield from images
        others[0].submit(images[0][1], "weapons", queue="bulk")
        raise KeyboardInterrupt

    with redis.Redis.from_url(lonely.url) as connection:
        connection.lpush("moderation.bulk", b"no message of ours")
        with pytest.raises(KeyboardInterrupt):
            list(embed_on_workers(interrupted(), model="starter", broker_url=lonely.url))
        assert connection.llen("moderation.bulk") == 4
    left = keys_in(lonely.url)
    assert {key for key in left if not key.startswith(b"evenhand.")} == {b"moderation.bulk"}


def test_a_redis_that_is_away_or_goes_away_is_a_typed_error(images: Images) -> None:
    with EmbeddedRedis() as server:

        def sent() -> Iterator[tuple[str, bytes]]:
            yield from images
            server.stop()

        for given in (sent(), images):  # midway, and from the beginning
            with pytest.raises(BrokerUnavailable, match="Redis does not answer"):
                list(embed_on_workers(given, model="starter", broker_url=server.url))


def test_wrong_settings_are_refused_before_anything_is_asked() -> None:
    with pytest.raises(SettingsError):
        embed_on_workers([], model="starter", broker_url="amqp://localhost")
    with pytest.raises(ValueError, match="0 requests"):
        embed_on_workers([], model="starter", in_flight=0)


@pytest.mark.parametrize(
    "change",
    [
        *({"width": 2}, {"width": 0}, {"looks": 2}, {"looks": 0}, {"features": "AAA="}),
        *({"looking": "all"}, {"schema_version": 2}, {"model": 1}),
    ],
)
def test_an_answer_of_another_shape_is_refused(
    change: dict[str, object], broker_url: str, images: Images
) -> None:
    [(_, answer)] = embed_on_workers(images[:1], model="starter", broker_url=broker_url)
    assert isinstance(answer, EmbeddingResponse)
    message = answer.model_dump(mode="json")
    assert EmbeddingResponse.read({**message, "newer": 1}) == answer
    with pytest.raises(WorkerError, match="shape that cannot be read"):
        EmbeddingResponse.read({**message, **change})


def test_an_image_that_is_embedded_is_not_in_the_workers_log(
    broker_url: str, worker: EmbeddedWorker, images: Images
) -> None:
    [(_, answer)] = embed_on_workers(images[:1], model="starter", broker_url=broker_url)
    assert isinstance(answer, EmbeddingResponse)
    assert f"{answer.request_id}: embedded" in worker.log()
    assert answer.model_dump(mode="json")["features"][:40] not in worker.log()
