"""Requests and their one final answer: real Redis, database and decoders; a tiny encoder."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import fsspec
import pytest
from PIL import Image
from sqlalchemy import select, text

from moderation.decision_log.log import DecisionLog
from moderation.decision_log.quarantine import list_quarantined
from moderation.decision_log.tables import decisions, outbox, submissions
from moderation.embedded_servers import EmbeddedRedis
from moderation.encoders.encoder import Float32s
from moderation.errors import (
    EncoderFailed,
    ImageError,
    ImageUnavailable,
    ModerationError,
    RequestError,
    SettingsError,
)
from moderation.images.looks import Pixels
from moderation.images.rendition import RenditionFile, RenditionForm
from moderation.images.rendition_folder import RenditionFolder
from moderation.messages import QUEUES
from moderation.policy import parse_policy
from moderation.queue.celery_app import connect
from moderation.queue.kept_requests import KeptRequests
from moderation.queue.keys import BYTES, DUE, HAND, HELD
from moderation.scoring.pipeline import Pipeline
from moderation.settings import load_settings
from tests.support.database_servers import PostgresServer
from tests.support.decision_samples import count, decided, quarantined
from tests.support.desk import Desk, coloured, desk_settings, message
from tests.support.photo_server import PhotoServer
from tests.support.sample_pipeline import POLICY, make_pipeline
from tests.support.stub_encoder import StubEncoder
from tests.support.waiting import until


@pytest.fixture(scope="module")
def encoder() -> StubEncoder:
    return StubEncoder()


@pytest.fixture(scope="module")
def pipeline(encoder: StubEncoder) -> Iterator[Pipeline]:
    with make_pipeline(frames=1, encoder=encoder) as made:
        yield made


@pytest.fixture
def desk(server: EmbeddedRedis, pipeline: Pipeline, tmp_path: Path) -> Iterator[Desk]:
    settings = desk_settings(
        server, tmp_path, max_retries=2, max_deliveries=2, visibility_timeout_seconds=3600
    )
    with closing(Desk(settings, pipeline)) as made:
        yield made


def test_a_redelivered_request_gets_the_same_verdict_and_no_second_row(
    desk: Desk, encoder: StubEncoder
) -> None:
    first = decided(desk.answer(message()))
    encoded = encoder.images_encoded
    assert desk.answer(message()) == first
    assert encoder.images_encoded == encoded
    assert count(desk.log, submissions, decisions) == [1, 1]
    assert desk.counted("requests_total") == {"interactive decided": 1}
    assert desk.counted("redeliveries_total") == {"": 1}
    steps = desk.counted("step_seconds_count")
    assert sorted(steps) == ["decide", "decode", "encode", "fetch", "log"]
    assert "log" not in first.verdicts[0].timings
    assert desk.redis.keys("*") == [b"celery-task-meta-a"]  # it is struck off


def test_a_repeated_submission_gets_the_same_verdict_from_the_log(
    desk: Desk, encoder: StubEncoder
) -> None:
    [one] = decided(desk.answer(message(), "a")).verdicts
    encoded = encoder.images_encoded
    [other] = decided(desk.answer(message(), "b")).verdicts
    assert (one.request_id, other.request_id) == ("a", "b")
    assert other.decision_id == one.decision_id is not None
    own = {"request_id", "timings"}
    assert other.model_dump(exclude=own) == one.model_dump(exclude=own)
    assert encoder.images_encoded == encoded
    assert count(desk.log, submissions, decisions) == [2, 1]
    assert desk.counted("requests_total") == {"interactive decided": 2}
    assert desk.counted("recalled_decisions_total") == {"": 1}


def test_requests_at_the_same_time_end_in_one_decision(desk: Desk) -> None:
    for n in range(64):
        desk.send(message(), f"r{n % 8}")
    until(desk.is_idle)
    answers = [decided(desk.logged(message(), f"r{n}")) for n in range(8)]
    assert len({verdict.decision_id for each in answers for verdict in each.verdicts}) == 1
    assert count(desk.log, submissions, decisions) == [8, 1]


def test_an_id_that_is_used_for_another_image_is_refused_and_struck_off(desk: Desk) -> None:
    desk.answer(message())
    first, other = desk.told(), message(coloured((0, 0, 255)))
    desk.send(other)
    until(desk.is_idle)
    refusal = desk.logged(other)
    assert isinstance(refusal, RequestError)
    assert "used before" in refusal.what
    assert count(desk.log, submissions) == [1]
    assert desk.told() == first  # the host of the first one still finds its answer
    assert desk.redis.keys("*") == [b"celery-task-meta-a"]


@pytest.mark.parametrize(
    ("given", "reason", "error"),
    [
        (message(b"no image"), "image", ImageError),
        (message(policies=["unheard-of"]), "request", RequestError),
        (message(image={"path": "/etc/passwd"}), "request", RequestError),
        (message(image={"url": "https://elsewhere.example/a.jpg"}), "request", RequestError),
        (message(schema_version=2), "message", RequestError),
        (message(extra=1), "message", RequestError),
        ({}, "message", RequestError),
        (None, "message", RequestError),
        (["a", "list"], "message", RequestError),
        ("text", "message", RequestError),
    ],
)
def test_what_gets_no_verdict_is_quarantined_once_with_its_reason(
    given: Any, reason: str, error: type[ModerationError], desk: Desk
) -> None:
    answer = quarantined(desk.answer(given))
    assert (answer.reason, type(answer.error)) == (reason, error)
    again = quarantined(desk.answer(given))
    assert again.quarantine_id == answer.quarantine_id
    assert str(again.error) == str(answer.error)
    kept = desk.kept.kept("a")  # to be sent again
    assert (kept and kept.request) == (None if reason == "message" else given)
    [entry] = list_quarantined(desk.log.engine)
    assert (entry.reason, entry.request_id) == (reason, "a")


def test_no_image_that_came_as_text_is_kept(desk: Desk, tmp_path: Path) -> None:
    """As a path, URL, key, policy or key of the message; in the log's files, to the byte."""
    encoded = base64.b64encode(coloured() + bytes(range(256)) * 4).decode()
    texts = (encoded, f"data:image/png;base64,{encoded}", f"/app/{encoded}")
    for kind, given in itertools.product(("path", "url", "key"), texts):
        answer = desk.answer(message(image={kind: given}), f"{kind}-{texts.index(given)}")
        assert quarantined(answer).reason == "message"
    for odd in (message(policies=[encoded]), {**message(), encoded: encoded}):
        assert quarantined(desk.answer(odd, f"odd-{len(odd)}"))
    desk.log.close()
    for file in tmp_path.iterdir():
        assert encoded[100:140].encode() not in file.read_bytes(), file


def test_a_transient_failure_is_tried_so_often_and_then_quarantined(desk: Desk) -> None:
    with PhotoServer(Path(__file__)) as photos:
        lost = message(image={"url": f"{photos.url}/down?token=secret"})
        desk.send(lost)
        until(lambda: desk.logged(lost))
        answer = quarantined(desk.logged(lost))
        assert photos.asked.total() == 3
    assert (answer.reason, type(answer.error)) == ("unavailable", ImageUnavailable)
    assert desk.counted("retries_total") == {"ImageUnavailable": 2}
    [entry] = list_quarantined(desk.log.engine)
    assert (entry.retries, entry.deliveries) == (2, 0)
    assert "secret" not in str(entry)


def test_a_request_that_is_tried_again_comes_back_by_itself(desk: Desk) -> None:
    with PhotoServer(Path(__file__)) as photos:
        photos.content = coloured()
        assert decided(desk.answer(message(image={"url": f"{photos.url}/photo"}), "b"))
        desk.send(message(image={"url": f"{photos.url}/flaky"}))
        until(lambda: desk.logged(message(image={"url": f"{photos.url}/flaky"})))
        assert photos.asked["/flaky"] == 3
    assert desk.counted("retries_total") == {"ImageUnavailable": 2}


def test_a_request_that_workers_die_of_is_quarantined(desk: Desk) -> None:
    answer = quarantined(desk.answer(message(), strikes=6))
    assert answer.reason == "deliveries"
    assert "2 workers died" in answer.error.what
    [entry] = list_quarantined(desk.log.engine)
    assert entry.deliveries == 2
    assert desk.kept.kept("a")


def test_a_suspect_is_tried_alone_and_its_neighbours_do_not_die_with_it(desk: Desk) -> None:
    desk.settings = desk.settings.model_copy(update={"max_deliveries": 5})
    tried: list[tuple[int, int]] = []

    class Watched(StubEncoder):
        def image_features(self, pixels: Pixels) -> Float32s:
            # All others are held: if their worker dies, that does not count against them.
            in_hand = int(desk.redis.hlen(HAND))
            until(lambda: desk.redis.scard(HELD) == in_hand - 1)
            tried.append((len(pixels), in_hand))
            return super().image_features(pixels)

    names = [f"r{n}" for n in range(4)]
    with make_pipeline(frames=1, encoder=Watched()) as pipeline:
        desk.finish()
        for n, name in enumerate(names):
            desk.send(message(coloured((n, 0, 0))), name, strikes=6)
        desk.serve(pipeline)
        until(desk.is_idle)
        desk.finish()
    for n, name in enumerate(names):
        assert decided(desk.logged(message(coloured((n, 0, 0))), name))
    assert tried == [(1, 4), (1, 3), (1, 2), (1, 1)]
    assert not desk.redis.exists(HELD, DUE)


def test_a_suspect_holds_up_no_other_request(desk: Desk) -> None:
    desk.settings = desk.settings.model_copy(update={"max_deliveries": 5})
    desk.serve(desk.pipeline)
    with PhotoServer(Path(__file__)) as photos:
        slow = message(image={"url": f"{photos.url}/held"})
        desk.send(slow, "slow", strikes=6)
        until(lambda: photos.asked["/held"])
        desk.send(message(coloured((1, 0, 0))), "waiting", strikes=6)
        until(lambda: desk.redis.scard(HELD) == 1)
        desk.send(message(), "innocent")
        until(lambda: desk.logged(message(), "innocent"))
        assert desk.logged(message(coloured((1, 0, 0))), "waiting") is None
        photos.gate.set()
        until(lambda: desk.logged(message(coloured((1, 0, 0))), "waiting"))


def test_an_encoder_that_fails_is_tried_again_and_then_quarantined(desk: Desk) -> None:
    class LostDevice(StubEncoder):
        def image_features(self, pixels: Pixels) -> Float32s:
            raise RuntimeError("the device is gone")

    with make_pipeline(frames=1, encoder=LostDevice()) as pipeline:
        desk.serve(pipeline)
        desk.send(message())
        [later] = until(desk.later)
        assert later.retries == 1
        assert desk.counted("retries_total") == {"EncoderFailed": 1}
        # A worker that cannot encode takes nothing for a while.
        began = time.monotonic()
        answer = quarantined(desk.answer(message(), retries=2))
        assert time.monotonic() - began > 3
        desk.finish()
    assert (answer.reason, type(answer.error)) == ("model", EncoderFailed)


def test_a_request_that_comes_while_it_is_in_hand_is_answered_once(desk: Desk) -> None:
    with PhotoServer(Path(__file__)) as photos:
        photos.content = coloured()
        held = message(image={"url": f"{photos.url}/held"})
        for _ in range(5):
            desk.send(held)
        until(lambda: photos.asked["/held"] == 5)
        photos.gate.set()
        until(desk.is_idle)
        assert decided(desk.logged(held))
    assert count(desk.log, submissions, decisions) == [1, 1]
    assert not desk.redis.exists(BYTES)


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """A server that may be stopped; it runs again after the test."""
    yield postgres
    postgres.stop()
    postgres.start()


@pytest.fixture
def on_postgres(
    server: EmbeddedRedis, pipeline: Pipeline, database: PostgresServer, tmp_path: Path
) -> Iterator[Desk]:
    url = database.new_database()
    settings = desk_settings(server, tmp_path, database_url=url, visibility_timeout_seconds=240)
    with closing(Desk(settings, pipeline)) as made:
        yield made


def test_a_database_that_is_away_delays_an_answer_and_loses_none(
    on_postgres: Desk, database: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    database.stop()
    for n in range(4):
        on_postgres.send(message(), f"r{n}")
    until(lambda: "requests wait for the decision log" in caplog.text)
    assert not on_postgres.redis.keys("celery-task-meta-*")
    database.start()
    until(on_postgres.is_idle)
    assert all(decided(on_postgres.logged(message(), f"r{n}")) for n in range(4))
    assert count(on_postgres.log, submissions, decisions) == [4, 1]
    assert on_postgres.counted("requests_total") == {"interactive decided": 4}


def test_a_worker_that_is_to_stop_waits_for_no_database(
    on_postgres: Desk, database: PostgresServer
) -> None:
    """Neither where it looks for an answer, nor where it records one: it puts requests back."""
    with PhotoServer(Path(__file__)) as photos:
        photos.content = coloured()
        held = message(image={"url": f"{photos.url}/held"})
        on_postgres.send(held)
        until(lambda: photos.asked["/held"])
        database.stop()
        on_postgres.stopping = True
        photos.gate.set()
        on_postgres.finish()
    assert on_postgres.redis.llen(QUEUES["interactive"]) == 1
    assert not on_postgres.redis.exists(HAND)
    assert on_postgres.counted("retries_total") == {"LogUnavailable": 1}
    database.start()
    on_postgres.redis.delete(QUEUES["interactive"])
    on_postgres.stopping = False
    on_postgres.serve(on_postgres.pipeline)
    assert decided(on_postgres.answer(message()))


def test_a_log_that_cannot_be_used_delays_an_answer_and_quarantines_nothing(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    with desk.log.engine.begin() as connection:
        connection.execute(text("ALTER TABLE submissions RENAME TO elsewhere"))
    for retries in (0, 5):  # however often the request was tried before
        desk.send(message(), f"r{retries}", retries=retries)
    until(lambda: "requests wait for the decision log" in caplog.text)
    desk.stopping = True  # so that it does not wait
    desk.finish()
    assert desk.redis.llen(QUEUES["interactive"]) == 2
    assert set(desk.counted("retries_total")) == {"other"}  # one may not have come to the log yet
    with desk.log.engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO submissions"))
    desk.stopping = False
    desk.serve(desk.pipeline)
    until(desk.is_idle)
    assert all(decided(desk.logged(message(), f"r{retries}")) for retries in (0, 5))
    assert list_quarantined(desk.log.engine) == []


#: What the encoder calls quiet, and so the policy `colours` allows; and what that blocks.
QUIET, LOUD = coloured((255, 0, 0)), coloured((0, 0, 255))


@pytest.fixture
def folder(desk: Desk, tmp_path: Path) -> Iterator[Path]:
    """Where the desk writes renditions then; it serves a second policy, `calm`."""
    (folder := tmp_path / "renditions").mkdir()
    colours = parse_policy(POLICY, "colours.yaml")
    lenient = POLICY.replace(b"id: colours", b"id: calm").replace(b"0.5}", b"1.0}")
    policies = {"colours": colours, "calm": parse_policy(lenient, "calm.yaml")}
    with make_pipeline(1, StubEncoder(), policies, form=RenditionForm("png")) as pipeline:
        log = DecisionLog(desk.log.database, endpoints=("https://a.example/hook",))
        desk.serve(pipeline, log=log, renditions=folder)
        yield folder
        desk.stopping = True
        desk.finish()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_verdict_names_the_picture_that_was_written(folder: Path, desk: Desk) -> None:
    [first] = decided(desk.answer(message(QUIET))).verdicts
    assert first.rendition is not None
    assert names(folder) == [first.rendition.name]
    written = (folder / first.rendition.name).read_bytes()
    assert hashlib.sha256(written).hexdigest() == first.rendition.sha256
    assert first.rendition.name == f"{first.rendition.sha256}.png"
    with Image.open(io.BytesIO(written)) as image:
        assert image.format == first.rendition.format.upper()
        assert image.size == (first.rendition.width, first.rendition.height) == (16, 16)
    assert "publish" in first.timings
    with desk.log.database.reading() as connection:
        payload = json.loads(connection.scalars(select(outbox.c.payload)).one())
    [sent] = payload["data"]["verdicts"]
    assert sent["rendition"] == first.rendition.model_dump(mode="json")
    # Redelivered, and sent again: the same, as long as the file is there.
    assert decided(desk.answer(message(QUIET))).verdicts == (first,)
    [again] = decided(desk.answer(message(QUIET), "b")).verdicts
    assert (again.decision_id, again.rendition) == (first.decision_id, first.rendition)
    assert desk.counted("recalled_decisions_total") == {"": 1}
    (folder / first.rendition.name).unlink()
    [missed] = decided(desk.answer(message(QUIET), "c")).verdicts
    assert (missed.decision_id, missed.rendition) == (first.decision_id, first.rendition)
    assert (folder / first.rendition.name).read_bytes() == written
    assert desk.counted("recalled_decisions_total") == {"": 1}


def test_what_a_policy_blocks_is_not_written_and_what_another_allows_later_is(
    folder: Path, desk: Desk
) -> None:
    both = message(LOUD, policies=["colours", "calm"])
    blocked = decided(desk.answer(both))
    assert [verdict.action for verdict in blocked.verdicts] == ["block", "allow"]
    assert [verdict.rendition for verdict in blocked.verdicts] == [None, None]
    assert names(folder) == []
    [calm] = decided(desk.answer(message(LOUD, policies=["calm"]), "b")).verdicts
    assert calm.decision_id == blocked.verdicts[1].decision_id
    assert calm.rendition is not None
    assert names(folder) == [calm.rendition.name]
    # Each answer stays as it was given.
    assert decided(desk.answer(both)) == blocked
    assert decided(desk.answer(both, "c")).verdicts[1].rendition is None
    repeated = desk.answer(message(LOUD, policies=["calm"]), "b")
    assert decided(repeated).verdicts == (calm,)


def test_a_folder_that_cannot_be_written_to_delays_an_answer_and_quarantines_nothing(
    folder: Path, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    folder.rename(folder.with_name("elsewhere"))
    for retries in (0, 5):  # however often the request was tried before
        desk.send(message(QUIET), f"r{retries}", retries=retries)
    until(lambda: len(desk.waited) == 2)
    assert caplog.text.count("requests wait for the folder of renditions") == 1
    assert count(desk.log, submissions, decisions) == [0, 0]
    folder.with_name("elsewhere").rename(folder)
    until(desk.is_idle)
    assert all(decided(desk.logged(message(QUIET), f"r{retries}")) for retries in (0, 5))
    assert "the folder of renditions answers again" in caplog.text
    assert "decision log answers" not in caplog.text
    assert list_quarantined(desk.log.engine) == []
    assert len(names(folder)) == 1


def test_a_worker_that_is_to_stop_waits_for_no_folder(folder: Path, desk: Desk) -> None:
    folder.rename(folder.with_name("elsewhere"))
    desk.send(message(QUIET))
    until(lambda: desk.waited)
    desk.stopping = True
    desk.finish()
    assert desk.redis.llen(QUEUES["interactive"]) == 1
    assert set(desk.counted("retries_total")) == {"RenditionsUnavailable"}
    assert count(desk.log, submissions) == [0]


def test_renditions_of_another_form_are_other_decisions(desk: Desk, tmp_path: Path) -> None:
    ids = set()
    for form in (None, RenditionForm("png"), RenditionForm("png", 64)):
        with make_pipeline(1, StubEncoder(), form=form) as pipeline:
            desk.serve(pipeline, renditions=tmp_path if form else None)
            name = form.text if form else "none"
            [verdict] = decided(desk.answer(message(QUIET), name)).verdicts
            assert (verdict.rendition is None) == (form is None)
            ids.add(verdict.decision_id)
            desk.finish()
    assert len(ids) == 3


def test_a_folder_may_be_in_a_store_that_fsspec_knows() -> None:
    folder = RenditionFolder("memory://pictures/published", seconds=60)
    folder.check()
    file = RenditionFile(b"RIFF", "webp", (1, 1))
    assert not folder.has(file.name)
    folder.write(file)
    folder.write(file)
    assert folder.has(file.name)
    assert fsspec.open(f"memory://pictures/published/{file.name}", "rb").open().read() == b"RIFF"
    assert len(fsspec.filesystem("memory").ls("/pictures/published")) == 1


@pytest.mark.parametrize(
    "url", ["{}/none", "{}/file", "no-such-driver://a/b", "file://{}/none", "s3://user:hunter2@a/b"]
)
def test_a_folder_that_takes_no_files_is_an_error_of_the_settings(url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SettingsError, match=r"(?i)renditions") as caught:
        RenditionFolder(url.format(tmp_path), seconds=60).check()
    assert "hunter2" not in str(caught.value)


def test_redis_need_not_keep_what_is_quarantined(desk: Desk) -> None:
    with EmbeddedRedis() as gone:
        away = connect(load_settings(broker_url=gone.url))
    desk.serve(desk.pipeline, kept=KeptRequests(away))
    assert quarantined(desk.answer(message(b"no image"))).reason == "image"


def test_an_id_that_no_table_could_hold_is_replaced(desk: Desk) -> None:
    answer = decided(desk.answer(message(request_id="a\0b" * 100)))
    assert answer.request_id.startswith("odd-")
