"""One poison image among 32 good ones: it costs itself alone, wherever it fails."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from pydantic import SecretStr
from sqlalchemy import delete, update

from moderation.decision_log.records import Decided, Quarantined
from moderation.decision_log.tables import decisions, submissions
from moderation.embedded_servers import EmbeddedRedis
from moderation.encoders.encoder import Float32s
from moderation.errors import ModerationError, RequestError
from moderation.images.decode.child import DecodeLimits
from moderation.images.decode.pool import DecoderPool
from moderation.images.looks import Pixels
from moderation.messages import ModerationResponse, Verdict
from moderation.policy import parse_policy
from moderation.queue.celery_app import connect
from moderation.queue.keys import BYTES, DUE, HAND, HELD
from moderation.scoring.pipeline import Pipeline
from moderation.settings import Settings
from tests.support.desk import Desk, coloured, desk_settings, message
from tests.support.hostile_files import png
from tests.support.photo_server import PhotoServer
from tests.support.queued_messages import RESULT
from tests.support.sample_pipeline import POLICY, make_pipeline
from tests.support.stub_encoder import StubEncoder
from tests.support.waiting import PATIENCE_SECONDS, until

#: The poison, and the good ones around it.
POISON = "poison"
GOOD = {f"r{n}": coloured((n, 255 - n, n // 2)) for n in range(1, 33)}
BLACK = coloured((0, 0, 0))

Said = Decided | Quarantined | RequestError | None


@pytest.fixture
def settings(server: EmbeddedRedis, tmp_path: Path) -> Settings:
    return desk_settings(server, tmp_path, allowed_roots=(tmp_path,), max_retries=0)


@pytest.fixture
def desk(settings: Settings, pipeline: Pipeline) -> Iterator[Desk]:
    with closing(Desk(settings, pipeline)) as made:
        yield made


@pytest.fixture(scope="module")
def expected(pipeline: Pipeline) -> dict[str, tuple[dict[str, Any], ...]]:
    """What a pipeline says of each good image by itself."""
    served = pipeline.served(["colours"])
    return {
        name: told(pipeline.moderate(content, served, request_id=name))
        for name, content in GOOD.items()
    }


def told(verdicts: tuple[Verdict, ...]) -> tuple[dict[str, Any], ...]:
    """Returns all that verdicts say, but what they took and where they are logged."""
    return tuple(each.model_dump(exclude={"timings", "decision_id"}) for each in verdicts)


def batch_with(poison: Any) -> dict[str, Any]:
    """Returns the good requests by their ids, with the poison in their midst."""
    good = [(name, message(content)) for name, content in GOOD.items()]
    return dict([*good[:16], (POISON, poison), *good[16:]])


def assert_good_answers(
    desk: Desk, expected: dict[str, tuple[dict[str, Any], ...]], *, but: str = ""
) -> None:
    """Checks that each good request has the very verdicts of its image, and nothing is left."""
    until(desk.is_idle)
    for name, content in GOOD.items():
        if name == but:
            continue
        answer = desk.logged(message(content), name)
        assert isinstance(answer, Decided), (name, answer)
        assert told(answer.verdicts) == expected[name]
        assert desk.told(name)["status"] == "SUCCESS"
    assert not desk.redis.exists(HAND, DUE, HELD, BYTES)
    assert desk.counted("retries_total") == {}


def said_of_poison(desk: Desk, poison: Any) -> Quarantined:
    answer = desk.logged(poison, POISON)
    assert isinstance(answer, Quarantined)
    assert desk.told(POISON)["status"] == "FAILURE"
    return answer


@pytest.mark.parametrize("where", ["path", "gone", "down", "endless"])
def test_an_image_that_cannot_be_fetched(
    where: str, desk: Desk, expected: dict[str, Any], tmp_path: Path
) -> None:
    with PhotoServer(Path(__file__)) as photos:
        reference = (
            {"path": f"{tmp_path}/none.jpg"}
            if where == "path"
            else {"url": f"{photos.url}/{where}"}
        )
        poison = message(image=reference)
        desk.send_together(batch_with(poison))
        assert_good_answers(desk, expected)
    reason = {"down": "unavailable", "endless": "image"}.get(where, "request")
    assert said_of_poison(desk, poison).reason == reason


@cache
def large() -> bytes:
    """Returns a small file of many pixels."""
    packer = zlib.compressobj(1)
    row = bytes(7000 * 8 + 1)
    pixels = b"".join([*(packer.compress(row) for _ in range(7000)), packer.flush()])
    return png(7000, 7000, depth=16, colour=6, pixels=pixels)


def decoding(seconds: float) -> Pipeline:
    """Returns a pipeline whose decoders take large pictures."""
    policy = parse_policy(POLICY, "colours.yaml")
    encoder = StubEncoder()
    decoders = DecoderPool(2, DecodeLimits(100_000_000, 1, seconds))
    return Pipeline({"colours": policy}, lambda _: encoder, decoders, default_model="stub")


def test_a_file_that_is_no_image(desk: Desk, expected: dict[str, Any]) -> None:
    poison = message(b"no image")
    desk.send_together(batch_with(poison))
    assert_good_answers(desk, expected)
    assert said_of_poison(desk, poison).reason == "image"


def test_a_file_that_takes_a_decoder_too_long(desk: Desk, expected: dict[str, Any]) -> None:
    poison = message(large())
    with decoding(seconds=0.5) as pipeline:
        desk.serve(pipeline)
        desk.send_together(batch_with(poison))
        assert_good_answers(desk, expected)
        desk.finish()
    assert said_of_poison(desk, poison).reason == "decoder"


def test_a_file_that_ends_its_decoder(desk: Desk, expected: dict[str, Any]) -> None:
    poison = message(large())
    with decoding(PATIENCE_SECONDS) as pipeline:
        desk.serve(pipeline)
        ended = threading.Event()
        killer = threading.Thread(target=kill_large_decoders, args=(pipeline, ended))
        killer.start()
        desk.send_together(batch_with(poison))
        assert_good_answers(desk, expected)
        ended.set()
        killer.join()
        desk.finish()
    assert said_of_poison(desk, poison).reason == "decoder"


def kill_large_decoders(pipeline: Pipeline, ended: threading.Event) -> None:
    """Kills what decodes the large picture, as the system does where memory runs out."""
    while not ended.wait(0.005):
        for child in psutil.Process().children():
            with suppress(psutil.Error):  # it has ended meanwhile
                decodes = "moderation.images.decode.child" in child.cmdline()
                if decodes and child.memory_info().rss > 200_000_000:
                    child.kill()


class Spoilt(StubEncoder):
    """Has its own way with batches that hold the black image."""

    def image_features(self, pixels: Pixels) -> Float32s:
        features = super().image_features(pixels)
        for place, square in enumerate(pixels):
            if not square.any():
                features[place] = self.spoil()
        return features

    def spoil(self) -> float:
        raise RuntimeError("the device met an odd image")


class NotFinite(Spoilt):
    def spoil(self) -> float:
        return np.nan


class Small(StubEncoder):
    """Has memory for four looks."""

    def image_features(self, pixels: Pixels) -> Float32s:
        time.sleep(0.05)  # so that others gather
        if len(pixels) > 4:
            raise MemoryError(f"{len(pixels)} looks do not fit")
        return super().image_features(pixels)


@pytest.mark.parametrize("kind", [Spoilt, NotFinite])
def test_an_image_that_the_encoder_fails_on(
    kind: type[StubEncoder], desk: Desk, expected: dict[str, Any]
) -> None:
    poison = message(BLACK)
    with make_pipeline(frames=1, encoder=kind()) as pipeline:
        desk.serve(pipeline)
        desk.send_together(batch_with(poison))
        assert_good_answers(desk, expected)
        desk.finish()
    assert said_of_poison(desk, poison).reason == "model"


def test_a_batch_that_is_too_large_for_the_encoder(desk: Desk, expected: dict[str, Any]) -> None:
    with make_pipeline(frames=1, encoder=Small()) as pipeline:
        desk.serve(pipeline)
        desk.send_together(batch_with(message(BLACK)))
        assert_good_answers(desk, expected)
        desk.finish()
    assert isinstance(desk.logged(message(BLACK), POISON), Decided)


def test_a_text_that_no_database_holds(desk: Desk, expected: dict[str, Any]) -> None:
    poison = message(BLACK, image={"path": "/srv/\ud800"})
    desk.send_together(batch_with(poison))
    assert_good_answers(desk, expected)
    assert said_of_poison(desk, poison).reason == "message"


def test_a_verdict_that_does_not_fit_into_the_log(
    desk: Desk, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts = desk.pipeline.verdicts

    def with_an_odd_one(seen: Any, names: Sequence[str], timers: Any) -> list[Any]:
        odd = {"image_sha256": "\ud800"}
        return [
            tuple(each.model_copy(update=odd) for each in made) if name == POISON else made
            for name, made in zip(names, verdicts(seen, names, timers), strict=True)
            if not isinstance(made, ModerationError)
        ]

    monkeypatch.setattr(desk.pipeline, "verdicts", with_an_odd_one)
    desk.send_together(batch_with(message(BLACK)))
    assert_good_answers(desk, expected)
    assert desk.logged(message(BLACK), POISON) is None
    assert desk.told(POISON)["result"]["exc_type"] == "RequestError"


def test_an_id_that_belongs_to_another_request(desk: Desk, expected: dict[str, Any]) -> None:
    """It comes in the same batch, so that only the log can tell."""
    desk.finish()
    for name, content in GOOD.items():
        desk.send(message(content), name)
        if name == "r16":
            desk.send(message(BLACK), name)
    desk.serve(desk.pipeline)
    assert_good_answers(desk, expected, but="r16")
    # Which of the two came to the log first is chance; the other one's host gets the error.
    both = [desk.logged(message(content), "r16") for content in (GOOD["r16"], BLACK)]
    [first] = [answer for answer in both if isinstance(answer, Decided)]
    assert [type(answer) for answer in both if answer is not first] == [RequestError]
    told_first = ModerationResponse.read(desk.told("r16")["result"])
    assert told_first.verdicts == first.verdicts


def test_an_answer_in_the_log_that_cannot_be_read(desk: Desk, expected: dict[str, Any]) -> None:
    poison = message(BLACK)
    desk.answer(poison, POISON)
    with desk.log.database.writing() as connection:
        connection.execute(update(decisions).values(verdict={"of": "another version"}))
    desk.send_together(batch_with(poison))
    until(lambda: all(desk.redis.exists(RESULT + name) for name in GOOD))
    for name, content in GOOD.items():
        answer = desk.logged(message(content), name)
        assert isinstance(answer, Decided), (name, answer)
        assert told(answer.verdicts) == expected[name]
    with desk.log.database.writing() as connection:  # so that it ends
        connection.execute(delete(submissions).where(submissions.c.request_id == POISON))
        connection.execute(delete(decisions).where(decisions.c.request_id == POISON))


@pytest.fixture
def limited(server: EmbeddedRedis, settings: Settings) -> Iterator[Settings]:
    """Settings of a worker that may not write the result of the poison."""
    with connect(settings) as connection:
        keys = ["moderation.*", "evenhand.*", f"{RESULT}r*"]
        connection.acl_setuser(
            "limited", enabled=True, nopass=True, keys=keys, channels=["*"], commands=["+@all"]
        )
        place = settings.broker_url.get_secret_value().rpartition("@")[2]
        limited_url = SecretStr(f"redis://limited:@{place}")
        yield settings.model_copy(update={"broker_url": limited_url})
        connection.acl_deluser("limited")


def test_a_result_that_redis_refuses(
    limited: Settings, pipeline: Pipeline, expected: dict[str, Any]
) -> None:
    with closing(Desk(limited, pipeline)) as desk:
        desk.send_together(batch_with(message(BLACK)))
        assert_good_answers(desk, expected)
        assert isinstance(desk.logged(message(BLACK), POISON), Decided)
