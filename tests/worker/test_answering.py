"""Requests and their one final answer: real Redis, database and decoders; a tiny encoder."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import fsspec
import pytest
from PIL import Image
from sqlalchemy import select, text

from moderation.decision_log.log import DecisionLog, open_log
from moderation.decision_log.quarantine import list_quarantined
from moderation.decision_log.records import Decided, Quarantined
from moderation.decision_log.tables import decisions, outbox, submissions
from moderation.embedded_servers import EmbeddedRedis
from moderation.encoders.encoder import Float32s
from moderation.errors import (
    EncoderFailed,
    ImageError,
    ImageUnavailable,
    LogError,
    LogUnavailable,
    ModerationError,
    RenditionsUnavailable,
    RequestError,
    SettingsError,
)
from moderation.images.fetch.fetcher import Fetcher
from moderation.images.looks import Pixels
from moderation.images.rendition import RenditionFile, RenditionForm
from moderation.images.rendition_folder import RenditionFolder
from moderation.policy import parse_policy
from moderation.queue.celery_app import connect
from moderation.queue.registry import Accepted, Registry
from moderation.scoring.pipeline import Pipeline
from moderation.settings import Settings, load_settings
from moderation.worker.answering import Answerer, TryAgain
from moderation.worker.arrival import Arrival, ArrivedRequest, read_arrived_request
from moderation.worker.metrics import Metrics
from tests.support.database_servers import PostgresServer
from tests.support.decision_samples import count, decided, quarantined
from tests.support.hostile_files import saved
from tests.support.photo_server import PhotoServer
from tests.support.sample_pipeline import POLICY, make_pipeline
from tests.support.stub_encoder import StubEncoder
from tests.support.waiting import until


class Desk:
    """An answerer with its real surroundings."""

    def __init__(self, settings: Settings, pipeline: Pipeline) -> None:
        self.settings = settings
        self.log = open_log(settings)
        self.redis = connect(settings)
        self.redis.flushall()
        self.registry = Registry(self.redis)
        self.registry.beat("w", 3600)
        self.metrics = Metrics()
        self.stopping = False
        #: Threads that met what is away, and asked whether to wait for it.
        self.waited: set[int] = set()
        self.fetcher = Fetcher(settings)
        self.answerer = self.answerer_on(self.log, pipeline)

    def answerer_on(
        self, log: DecisionLog, pipeline: Pipeline, renditions: Path | None = None
    ) -> Answerer:
        return Answerer(
            self.settings,
            pipeline,
            self.fetcher,
            log,
            self.registry,
            self.metrics,
            worker="w",
            stopping=self._is_stopping,
            renditions=RenditionFolder(str(renditions), seconds=60) if renditions else None,
        )

    def _is_stopping(self) -> bool:
        self.waited.add(threading.get_ident())
        return self.stopping

    def answer(self, message: Any, task_id: str = "a", retries: int = 0) -> Decided | Quarantined:
        return self.answerer.answer(read(message, task_id, retries))

    def counted(self, name: str) -> dict[str, float]:
        """Returns the samples of a metric that are not 0, by their labels."""
        return {
            " ".join(sample.labels.values()): sample.value
            for family in self.metrics.registry.collect()
            for sample in family.samples
            if sample.name == f"evenhand_{name}" and sample.value
        }

    def close(self) -> None:
        self.fetcher.close()
        self.redis.close()
        self.log.close()


def read(message: Any, task_id: str = "a", retries: int = 0) -> ArrivedRequest:
    return read_arrived_request(message, Arrival(task_id, "interactive", retries))


@pytest.fixture(scope="module")
def encoder() -> StubEncoder:
    return StubEncoder()


@pytest.fixture(scope="module")
def pipeline(encoder: StubEncoder) -> Iterator[Pipeline]:
    with make_pipeline(frames=1, encoder=encoder) as made:
        yield made


@pytest.fixture
def desk(server: EmbeddedRedis, pipeline: Pipeline, tmp_path: Path) -> Iterator[Desk]:
    settings = load_settings(
        broker_url=server.url,
        database_url=f"sqlite:///{tmp_path}/decisions.db",
        allowed_hosts=("127.0.0.1",),
        allowed_schemes=("http",),
        allowed_networks=("127.0.0.0/8",),
        max_retries=2,
        max_deliveries=2,
        visibility_timeout_seconds=3600,
    )
    with closing(Desk(settings, pipeline)) as made:
        yield made


def picture(colour: tuple[int, int, int] = (255, 0, 0)) -> bytes:
    return saved(Image.new("RGB", (16, 16), colour))


def message(content: bytes | None = None, **changes: Any) -> dict[str, Any]:
    image = {"bytes": base64.b64encode(picture() if content is None else content).decode()}
    return {"schema_version": 1, "image": image, "policies": ["colours"], **changes}


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
    assert desk.redis.keys("*") == [b"evenhand.worker.w"]  # it is struck off the registry


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
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda n: decided(desk.answer(message(), f"r{n % 8}")), range(64))
        ids = {verdict.decision_id for answer in answers for verdict in answer.verdicts}
    assert len(ids) == 1
    assert count(desk.log, submissions, decisions) == [8, 1]


def test_an_id_that_is_used_for_another_image_is_refused_and_struck_off(
    desk: Desk,
) -> None:
    desk.answer(message())
    other = message(picture((0, 0, 255)))
    accepted = Accepted(other, "interactive", 0.0)
    desk.registry.accept("a", accepted, most_waiting=5, most_bytes=10_000)
    with pytest.raises(RequestError, match="used before"):
        desk.answer(other)
    assert count(desk.log, submissions) == [1]
    assert desk.registry.count() == 0


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
    held = desk.registry.quarantined("a")  # to be sent again
    assert (held and held.request) == (None if reason == "message" else given)
    [entry] = list_quarantined(desk.log.engine)
    assert (entry.reason, entry.request_id) == (reason, "a")


def test_no_image_that_came_as_text_is_kept(desk: Desk, tmp_path: Path) -> None:
    """As a path, URL, key, policy or key of the message; in the log's files, to the byte."""
    encoded = base64.b64encode(picture() + bytes(range(256)) * 4).decode()
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
        for retries in range(2):
            with pytest.raises(TryAgain) as again:
                desk.answer(lost, retries=retries)
            assert isinstance(again.value.error, ImageUnavailable)
        assert quarantined(desk.answer(lost, retries=2)).reason == "unavailable"
    [entry] = list_quarantined(desk.log.engine)
    assert (entry.retries, entry.deliveries) == (2, 0)
    assert "secret" not in str(entry)


def test_a_request_that_workers_die_of_is_quarantined(desk: Desk) -> None:
    for _ in range(2):  # taken, and never given back
        desk.registry.take("a", "interactive", "dead")
    answer = quarantined(desk.answer(message()))
    assert answer.reason == "deliveries"
    assert "2 workers died" in answer.error.what
    [entry] = list_quarantined(desk.log.engine)
    assert entry.deliveries == 2


def test_a_suspect_is_tried_alone_and_its_neighbours_do_not_die_with_it(
    desk: Desk,
) -> None:
    names = [f"r{n}" for n in range(4)]
    for name in names:
        for worker in ("dead", "also dead"):
            desk.registry.take(name, "interactive", worker)
    desk.settings = desk.settings.model_copy(update={"max_deliveries": 5})
    tried: list[int] = []

    def in_hand() -> int:
        takers = map(json.loads, desk.redis.hvals("evenhand.in_hand"))
        return sum("w" in names for names in takers)

    class Watched(StubEncoder):
        def image_features(self, pixels: Pixels) -> Float32s:
            until(lambda: in_hand() == 1)  # the others are given back
            tried.append(len(pixels))
            return super().image_features(pixels)

    with make_pipeline(frames=1, encoder=Watched()) as pipeline:
        answerer = desk.answerer_on(desk.log, pipeline)
        requests = [read(message(picture((n, 0, 0))), name) for n, name in enumerate(names)]
        with ThreadPoolExecutor(4) as pool:
            assert all(map(decided, pool.map(answerer.answer, requests)))
    assert tried == [1, 1, 1, 1]


def test_an_encoder_that_fails_is_tried_again_and_then_quarantined(desk: Desk) -> None:
    class LostDevice(StubEncoder):
        def image_features(self, pixels: Pixels) -> Float32s:
            raise RuntimeError("the device is gone")

    desk.stopping = True  # so that it does not wait
    with make_pipeline(frames=1, encoder=LostDevice()) as pipeline:
        answerer = desk.answerer_on(desk.log, pipeline)
        with pytest.raises(TryAgain) as again:
            answerer.answer(read(message()))
        assert isinstance(again.value.error, EncoderFailed)
        answer = quarantined(answerer.answer(read(message(), retries=2)))
    assert (answer.reason, type(answer.error)) == ("model", EncoderFailed)


def test_a_request_that_comes_while_it_is_in_hand_has_killed_nobody(desk: Desk) -> None:
    for _ in range(5):
        desk.registry.take("a", "interactive", "w")
    assert decided(desk.answer(message()))


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[PostgresServer]:
    """A server that may be stopped; it runs again after the test."""
    yield postgres
    postgres.stop()
    postgres.start()


@pytest.fixture
def on_postgres(
    server: EmbeddedRedis, pipeline: Pipeline, database: PostgresServer
) -> Iterator[Desk]:
    settings = load_settings(
        broker_url=server.url,
        database_url=database.new_database(),
        visibility_timeout_seconds=240,
    )
    with closing(Desk(settings, pipeline)) as made:
        yield made


def test_a_database_that_is_away_delays_an_answer_and_loses_none(
    on_postgres: Desk, database: PostgresServer
) -> None:
    database.stop()
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(on_postgres.answer, message(), f"r{n}") for n in range(4)]
        until(lambda: len(on_postgres.waited) == 4)
        assert not any(future.done() for future in waiting)
        database.start()
        assert all(decided(future.result()) for future in waiting)
    assert count(on_postgres.log, submissions, decisions) == [4, 1]
    assert on_postgres.counted("requests_total") == {"interactive decided": 4}


def test_a_worker_that_is_to_stop_waits_for_no_database(
    on_postgres: Desk, database: PostgresServer
) -> None:
    database.stop()
    on_postgres.stopping = True
    with pytest.raises(TryAgain) as again:
        on_postgres.answer(message())
    assert isinstance(again.value.error, LogUnavailable)
    database.start()
    assert decided(on_postgres.answer(message()))


def test_a_log_that_cannot_be_used_delays_an_answer_and_quarantines_nothing(
    desk: Desk,
) -> None:
    desk.stopping = True  # so that it does not wait
    with desk.log.engine.begin() as connection:
        connection.execute(text("ALTER TABLE submissions RENAME TO elsewhere"))
    for retries in (0, 5):  # however often the request was tried before
        with pytest.raises(TryAgain) as again:
            desk.answer(message(), retries=retries)
        assert isinstance(again.value.error, LogError)
    with desk.log.engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO submissions"))
    assert decided(desk.answer(message()))
    assert list_quarantined(desk.log.engine) == []


#: What the encoder calls quiet, and so the policy `colours` allows; and what that blocks.
QUIET, LOUD = picture((255, 0, 0)), picture((0, 0, 255))


@pytest.fixture
def publisher(desk: Desk, tmp_path: Path) -> Iterator[tuple[Answerer, Path]]:
    """An answerer that writes renditions, and their folder; it serves a second policy, `calm`."""
    (folder := tmp_path / "renditions").mkdir()
    colours = parse_policy(POLICY, "colours.yaml")
    lenient = POLICY.replace(b"id: colours", b"id: calm").replace(b"0.5}", b"1.0}")
    policies = {"colours": colours, "calm": parse_policy(lenient, "calm.yaml")}
    with make_pipeline(1, StubEncoder(), policies, form=RenditionForm("png")) as pipeline:
        log = DecisionLog(desk.log.database, endpoints=("https://a.example/hook",))
        yield desk.answerer_on(log, pipeline, folder), folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_verdict_names_the_picture_that_was_written(
    publisher: tuple[Answerer, Path], desk: Desk
) -> None:
    answerer, folder = publisher
    [first] = decided(answerer.answer(read(message(QUIET)))).verdicts
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
    assert decided(answerer.answer(read(message(QUIET)))).verdicts == (first,)
    [again] = decided(answerer.answer(read(message(QUIET), "b"))).verdicts
    assert (again.decision_id, again.rendition) == (first.decision_id, first.rendition)
    assert desk.counted("recalled_decisions_total") == {"": 1}
    (folder / first.rendition.name).unlink()
    [missed] = decided(answerer.answer(read(message(QUIET), "c"))).verdicts
    assert (missed.decision_id, missed.rendition) == (first.decision_id, first.rendition)
    assert (folder / first.rendition.name).read_bytes() == written
    assert desk.counted("recalled_decisions_total") == {"": 1}


def test_what_a_policy_blocks_is_not_written_and_what_another_allows_later_is(
    publisher: tuple[Answerer, Path],
) -> None:
    answerer, folder = publisher
    both = message(LOUD, policies=["colours", "calm"])
    blocked = decided(answerer.answer(read(both)))
    assert [verdict.action for verdict in blocked.verdicts] == ["block", "allow"]
    assert [verdict.rendition for verdict in blocked.verdicts] == [None, None]
    assert names(folder) == []
    [calm] = decided(answerer.answer(read(message(LOUD, policies=["calm"]), "b"))).verdicts
    assert calm.decision_id == blocked.verdicts[1].decision_id
    assert calm.rendition is not None
    assert names(folder) == [calm.rendition.name]
    # Each answer stays as it was given.
    assert decided(answerer.answer(read(both))) == blocked
    assert decided(answerer.answer(read(both, "c"))).verdicts[1].rendition is None
    repeated = answerer.answer(read(message(LOUD, policies=["calm"]), "b"))
    assert decided(repeated).verdicts == (calm,)


def test_a_folder_that_cannot_be_written_to_delays_an_answer_and_quarantines_nothing(
    publisher: tuple[Answerer, Path], desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    answerer, folder = publisher
    folder.rename(folder.with_name("elsewhere"))
    desk.stopping = True  # so that it does not wait
    for retries in (0, 5):  # however often the request was tried before
        with pytest.raises(TryAgain) as again:
            answerer.answer(read(message(QUIET), retries=retries))
        assert isinstance(again.value.error, RenditionsUnavailable)
    assert caplog.text.count("requests wait for the folder of renditions") == 1
    assert count(desk.log, submissions, decisions) == [0, 0]
    desk.stopping = False
    with ThreadPoolExecutor(1) as pool:
        desk.waited.clear()
        waiting = pool.submit(answerer.answer, read(message(QUIET)))
        until(lambda: desk.waited)
        folder.with_name("elsewhere").rename(folder)
        assert decided(waiting.result())
    assert "the folder of renditions answers again" in caplog.text
    assert "decision log answers" not in caplog.text
    assert list_quarantined(desk.log.engine) == []
    assert len(names(folder)) == 1


def test_renditions_of_another_form_are_other_decisions(desk: Desk, tmp_path: Path) -> None:
    ids = set()
    for form in (None, RenditionForm("png"), RenditionForm("png", 64)):
        with make_pipeline(1, StubEncoder(), form=form) as pipeline:
            answerer = desk.answerer_on(desk.log, pipeline, tmp_path if form else None)
            [verdict] = decided(
                answerer.answer(read(message(QUIET), form.text if form else "none"))
            ).verdicts
            assert (verdict.rendition is None) == (form is None)
            ids.add(verdict.decision_id)
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


def test_redis_need_not_take_notes(desk: Desk) -> None:
    with EmbeddedRedis() as gone:
        away = connect(load_settings(broker_url=gone.url))
    desk.registry = Registry(away)
    answerer = desk.answerer_on(desk.log, desk.answerer.pipeline)
    assert decided(answerer.answer(read(message())))


def test_an_id_that_no_table_could_hold_is_replaced(desk: Desk) -> None:
    answer = decided(desk.answer(message(request_id="a\0b" * 100)))
    assert answer.request_id.startswith("odd-")
