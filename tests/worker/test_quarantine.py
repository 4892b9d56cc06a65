"""Into quarantine: messages that no worker may act on; on a real line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from moderation.client.client import Client
from moderation.decision_log.quarantine import list_quarantined
from moderation.embedded_servers import EmbeddedRedis
from moderation.errors import ImageError, RequestError
from moderation.messages import QUEUES
from moderation.queue.keys import BYTES, HAND
from moderation.scoring.pipeline import Pipeline
from moderation.settings import load_settings
from tests.support.desk import Desk, message
from tests.support.sample_pipeline import make_pipeline
from tests.support.waiting import until

LARGE = 1_000


@pytest.fixture(scope="module")
def pipeline() -> Iterator[Pipeline]:
    with make_pipeline(frames=1) as made:
        yield made


@pytest.fixture
def desk(server: EmbeddedRedis, pipeline: Pipeline, tmp_path: Path) -> Iterator[Desk]:
    settings = load_settings(
        broker_url=server.url,
        database_url=f"sqlite:///{tmp_path}/log.db",
        max_image_bytes=LARGE,
    )
    with closing(Desk(settings, pipeline)) as made:
        yield made


def put(desk: Desk, raw: bytes) -> None:
    """Writes a message, and returns when it has left."""
    desk.redis.lpush(QUEUES["bulk"], raw)
    until(desk.is_idle)


def test_poison_with_an_accepted_id_is_final_and_its_host_gets_the_reason(desk: Desk) -> None:
    desk.finish()
    client = Client(desk.settings.model_copy(update={"max_image_bytes": 1_000_000}))
    name = client.submit(b"x" * 300_000, "colours")  # more than the worker takes
    desk.serve(desk.pipeline)
    until(desk.is_idle)
    assert not desk.redis.exists(HAND, BYTES)
    [entry] = list_quarantined(desk.log.engine)
    assert (entry.request_id, entry.reason) == (name, "message")
    with pytest.raises(RequestError, match="it is too large"):
        client.collect(name, timeout_seconds=0)
    assert desk.kept.kept(name) is None  # it could not be answered any better


def test_poison_without_an_id_is_named_by_its_hash_and_reported_once(desk: Desk) -> None:
    for _ in range(2):
        put(desk, b"not JSON")
    named = "message-" + hashlib.sha256(b"not JSON").hexdigest()
    assert [entry.request_id for entry in list_quarantined(desk.log.engine)] == [named]
    assert desk.redis.keys("*") == []  # nobody is told


def test_poison_does_not_take_the_place_of_an_answer(desk: Desk) -> None:
    answer: Any = desk.answer(message(b"no image"), "a")
    assert isinstance(answer.error, ImageError)
    told = desk.told("a")
    put(desk, b'{"headers": {"id": "a", "task": "os.system"}}')
    [entry] = list_quarantined(desk.log.engine)
    assert entry.reason == "image"
    assert desk.told("a") == told
