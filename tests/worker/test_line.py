"""Many requests on one line: none waits for another, and what they hold is bounded in bytes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from moderation.decision_log.records import Decided
from moderation.embedded_servers import EmbeddedRedis
from moderation.encoders.encoder import Float32s
from moderation.images.looks import Pixels
from moderation.messages import QueueName
from moderation.queue.keys import BYTES, HAND
from moderation.scoring.pipeline import Pipeline
from moderation.scoring.sighted import SeenImages, Sighted
from moderation.settings import Settings
from tests.support.desk import Desk, coloured, desk_settings, message
from tests.support.photo_server import PhotoServer
from tests.support.sample_pipeline import make_pipeline
from tests.support.stub_encoder import StubEncoder
from tests.support.waiting import until


@pytest.fixture
def settings(server: EmbeddedRedis, tmp_path: Path) -> Settings:
    return desk_settings(server, tmp_path, concurrency=16)


@pytest.fixture
def photos() -> Iterator[PhotoServer]:
    with PhotoServer(Path(__file__)) as running:
        running.content = coloured()
        yield running


def is_answered(desk: Desk, name: str) -> bool:
    return bool(desk.redis.exists(f"celery-task-meta-{name}"))


def test_a_lone_request_waits_for_no_slow_fetch_of_its_batch(
    settings: Settings, pipeline: Pipeline, photos: PhotoServer
) -> None:
    slow = {f"slow{n}": message(image={"url": f"{photos.url}/held?{n}"}) for n in range(8)}
    with closing(Desk(settings, pipeline)) as desk:
        desk.send_together({**slow, "quick": message()})
        until(lambda: is_answered(desk, "quick"))
        assert desk.redis.hlen(HAND) == len(slow)
        assert not any(is_answered(desk, name) for name in slow)
        # Nor does one that comes later.
        assert photos.asked.total() == len(slow)
        desk.send(message(coloured((0, 1, 0))), "later")
        until(lambda: is_answered(desk, "later"))
        photos.gate.set()
        until(desk.is_idle)
        assert all(is_answered(desk, name) for name in slow)


def test_interactive_passes_a_batch_of_bulk_that_is_in_hand(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[bytes] = []
    gate = threading.Event()

    class Noting(StubEncoder):
        def image_features(self, pixels: Pixels) -> Float32s:
            gate.wait()
            order.extend(bytes(square[0, 0]) for square in pixels)
            return super().image_features(pixels)

    with (
        make_pipeline(frames=1, encoder=Noting(), batch_size=1) as pipeline,
        closing(Desk(settings, pipeline)) as desk,
    ):
        decoded: list[Sighted] = []
        encode = pipeline.encode

        def noted(sighted: Sighted, queue: QueueName) -> Future[SeenImages]:
            future = encode(sighted, queue)
            decoded.append(sighted)
            return future

        monkeypatch.setattr(pipeline, "encode", noted)
        bulk = {f"b{n}": message(coloured((n, 0, 0))) for n in range(12)}
        desk.send_together(bulk)
        until(lambda: desk.redis.hlen(HAND) == 12)
        desk.send(message(coloured((255, 255, 255))), "now")
        until(lambda: len(decoded) == 13)
        gate.set()
        until(desk.is_idle)
    assert order.index(bytes((255, 255, 255))) < 6


@pytest.mark.parametrize("limit", [1, 5_000_000])
def test_no_more_bytes_are_in_hand_than_there_may_be_and_all_is_answered(
    limit: int, settings: Settings, pipeline: Pipeline, photos: PhotoServer
) -> None:
    """Each image that is fetched may have `max_image_bytes`, for which there is room twice."""
    settings = settings.model_copy(update={"in_hand_bytes": limit, "max_image_bytes": 2_000_000})
    photos.content = coloured() + bytes(1_000_000)
    asked = {f"r{n}": message(image={"url": f"{photos.url}/held?{n}"}) for n in range(12)}
    with closing(Desk(settings, pipeline)) as desk:
        desk.send_together(asked)
        most = max(1, limit // 2_000_000)
        until(lambda: photos.asked.total() == most)
        time.sleep(0.2)
        assert photos.asked.total() == most
        photos.gate.set()
        until(desk.is_idle)
        for name, request in asked.items():
            assert isinstance(desk.logged(request, name), Decided)
        assert not desk.redis.exists(HAND, BYTES)


def test_messages_are_taken_until_their_bytes_are_as_many_as_there_may_be(
    settings: Settings, pipeline: Pipeline
) -> None:
    settings = settings.model_copy(update={"in_hand_bytes": 3_000_000})
    asked = {
        f"r{n}": message(coloured((n, 0, 0)) + bytes([n]) * 500_000) for n in range(12)
    }  # two thirds of a million as base64, in base64
    held: list[int] = []
    ended = threading.Event()

    def watch(desk: Desk) -> None:
        while not ended.is_set():
            held.append(sum(map(len, desk.redis.hvals(HAND))))

    with closing(Desk(settings, pipeline)) as desk:
        watcher = threading.Thread(target=watch, args=(desk,))
        watcher.start()
        desk.send_together(asked)
        until(desk.is_idle)
        ended.set()
        watcher.join()
        for name, request in asked.items():
            assert isinstance(desk.logged(request, name), Decided)
        # The last of them may go over, so that no message is too large to be taken.
        one = len(asked["r0"]["image"]["bytes"]) * 4 / 3 + 2_000
        assert 0 < max(held) < 3_000_000 + one


def test_each_of_many_keeps_its_own_id_timings_and_verdict(
    settings: Settings, pipeline: Pipeline
) -> None:
    served = pipeline.served(["colours"])
    colours = {f"r{n}": (n % 256, n // 256, 7) for n in range(400)}
    with closing(Desk(settings, pipeline)) as desk:
        desk.send_together({name: message(coloured(each)) for name, each in colours.items()})
        until(desk.is_idle)
        told: dict[str, Any] = {name: desk.told(name)["result"] for name in colours}
        assert desk.counted("requests_total") == {"bulk decided": 400}
        assert desk.counted("step_seconds_count")["log"] == 400
    for name, colour in colours.items():
        [verdict] = pipeline.moderate(coloured(colour), served, request_id=name)
        [found] = told[name]["verdicts"]
        steps = found.pop("timings")
        assert {"fetch", "decode", "encode", "decide"} == set(steps)
        assert found.pop("decision_id")
        exact = verdict.model_dump(mode="json", exclude={"timings", "decision_id"})
        assert (told[name]["request_id"], found) == (name, exact)
