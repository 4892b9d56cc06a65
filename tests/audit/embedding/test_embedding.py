"""Datasets embedded once: what touches the model, what is kept, what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from PIL import Image

from audit.commands.embed import embed
from audit.commands.opening import open_encoder, open_subject
from audit.commands.options import DatasetOptions
from audit.datasets.adapters import LoadOptions, load_dataset
from audit.datasets.dataset import Dataset
from audit.datasets.image_problems import Track, image_problem
from audit.embedding.dataset_features import (
    EmbeddedDataset,
    EmbeddedImage,
    embed_dataset,
    embed_here,
)
from audit.embedding.remote_features import embed_remotely, remote_stamp
from audit.errors import AuditError, DatasetError
from audit.metrics.predictions import predict
from moderation.embedded_servers import EmbeddedWorker
from moderation.encoders.encoder import Encoder, Float32s
from moderation.encoders.options import ModelOptions
from moderation.errors import ModelError, RequestError, StoreError
from moderation.features import EmbeddingStore, StoredEncoder
from moderation.images.looks import Looking, Pixels
from moderation.settings import Settings
from tests.support.policy_texts import policy
from tests.support.stub_encoder import StubEncoder

T = TypeVar("T")

N = 70


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of two classes with small images, all different."""
    rng = np.random.default_rng(0)
    for i in range(N):
        folder = tmp_path / "images" / ("gun" if i % 2 else "cat")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 255, (12, 12, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "images"


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path / "store")


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A model reference with a file behind it, as a checkpoint has."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(b"weights")
    return str(folder)


class Loader:
    """Loads one stub encoder, and counts how often it is asked to."""

    def __init__(self) -> None:
        self.encoder = StubEncoder()
        self.asked = 0

    def __call__(self, reference: str, options: ModelOptions) -> Encoder:
        self.asked += 1
        return self.encoder


def _embed(
    dataset: Dataset, encoder: Encoder, store: EmbeddingStore, **options: Any
) -> EmbeddedDataset:
    return embed_dataset(dataset, encoder.stamp, store, embed_here(encoder), **options)


def test_a_second_label_set_never_touches_the_encoder(
    images: Path, store: EmbeddingStore, model: str
) -> None:
    loader = Loader()
    dataset = load_dataset(images)
    with StoredEncoder(model, ModelOptions(), store, load=loader) as encoder:
        embedded = _embed(dataset, encoder, store)
        predict(policy(), encoder, embedded.features)
        assert loader.encoder.images_encoded == N
        texts = loader.encoder.texts_encoded
        again = _embed(dataset, encoder, store)
        labels = policy().model_dump(mode="json")["labels"]
        predict(policy(labels=labels[1:]), encoder, again.features)
        predict(policy(decision="top_label"), encoder, again.features)
    assert (embedded.embedded, again.embedded) == (N, 0)
    assert loader.encoder.images_encoded == N
    assert loader.encoder.texts_encoded == texts
    np.testing.assert_array_equal(embedded.features, again.features)


def test_a_second_audit_does_not_load_the_model_at_all(
    images: Path, store: EmbeddingStore, model: str
) -> None:
    dataset = load_dataset(images)
    first, second = Loader(), Loader()
    with StoredEncoder(model, ModelOptions(), store, load=first) as encoder:
        before = predict(policy(), encoder, _embed(dataset, encoder, store).features)
    with StoredEncoder(model, ModelOptions(), store, load=second) as encoder:
        after = predict(policy(), encoder, _embed(dataset, encoder, store).features)
        assert not encoder.loaded
    assert (first.asked, second.asked) == (1, 0)
    np.testing.assert_array_equal(before.scores, after.scores)


def test_a_model_whose_files_changed_is_loaded_and_described_again(
    store: EmbeddingStore, model: str
) -> None:
    for content in (b"weights", b"other weights"):
        (Path(model) / "weights.safetensors").write_bytes(content)
        assert _asked(model, store) == 1


class InterruptedEncoder(StubEncoder):
    """An encoder during whose second batch somebody presses Ctrl-C."""

    def image_features(self, pixels: Pixels) -> Float32s:
        if self.images_encoded:
            raise KeyboardInterrupt
        return super().image_features(pixels)


def test_an_interrupted_run_keeps_what_it_embedded_and_the_next_does_the_rest(
    images: Path, store: EmbeddingStore
) -> None:
    dataset = load_dataset(images)
    interrupted, encoder = InterruptedEncoder(), StubEncoder()
    with pytest.raises(KeyboardInterrupt):
        _embed(dataset, interrupted, store)
    assert 0 < interrupted.images_encoded < N
    rest = _embed(dataset, encoder, store)
    assert rest.embedded == encoder.images_encoded == N - interrupted.images_encoded
    np.testing.assert_array_equal(
        rest.features, _embed(dataset, StubEncoder(), EmbeddingStore(images / "other")).features
    )


def test_the_order_of_images_changes_no_feature(images: Path, store: EmbeddingStore) -> None:
    dataset = load_dataset(images)
    embedded = _embed(dataset, StubEncoder(), store)
    order = np.random.default_rng(1).permutation(N)
    shuffled = _embed(dataset.take(order), StubEncoder(), EmbeddingStore(images / "other"))
    np.testing.assert_array_equal(embedded.features[order], shuffled.features)
    assert embedded.images_sha256 == shuffled.images_sha256


def test_a_broken_image_is_named_with_the_others_kept(images: Path, store: EmbeddingStore) -> None:
    (images / "cat" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    dataset = load_dataset(images)
    with pytest.raises(DatasetError, match=r"broken\.png.*cannot be decoded"):
        _embed(dataset, StubEncoder(), store)
    encoder = StubEncoder()
    kept = _embed(dataset, encoder, store, skip_bad=True)
    assert (len(kept.dataset), encoder.images_encoded) == (N, 0)
    assert "broken.png" in str(kept.dataset.left_out[0])
    assert len(kept.features) == N
    again = _embed(dataset, encoder, EmbeddingStore(images / "other"), skip_bad=True)
    assert again.embedded == N


def test_one_image_under_two_names_is_counted_once_and_of_two_classes_not_at_all(
    images: Path, store: EmbeddingStore
) -> None:
    content = (images / "cat" / "0.png").read_bytes()
    (images / "cat" / "again.png").write_bytes(content)
    kept = _embed(load_dataset(images), StubEncoder(), store)
    assert (len(kept.dataset), kept.dataset.left_out_images) == (N, 0)
    assert "cat/0.png and cat/again.png" in kept.dataset.notes[-1]
    (images / "gun" / "again.png").write_bytes(content)
    kept = _embed(load_dataset(images), StubEncoder(), store)
    assert (len(kept.dataset), kept.dataset.left_out_images) == (N - 1, 3)
    assert len(set(kept.sha256)) == len(kept.features) == N - 1
    assert "cat/0.png and cat/again.png and gun/again.png" in kept.dataset.notes[-1]


def test_more_images_than_a_few_that_are_there_twice_are_refused_before_any_is_embedded(
    images: Path, store: EmbeddingStore
) -> None:
    for number in range(11):
        gone = images / "gun" / f"gone{number}.png"
        gone.write_bytes((images / "gun" / "1.png").read_bytes())
    encoder = StubEncoder()
    with pytest.raises(DatasetError, match="byte for byte"):
        _embed(load_dataset(images), encoder, store)
    assert encoder.images_encoded == 0
    kept = _embed(load_dataset(images), encoder, store, skip_bad=True)
    assert (len(kept.dataset), kept.dataset.left_out_images) == (N, 11)


def test_an_image_over_the_pixel_limit_is_a_problem_of_its_row(
    images: Path, store: EmbeddingStore
) -> None:
    encoder = StubEncoder()
    with pytest.raises(DatasetError, match="over the limit"):
        embed_dataset(
            load_dataset(images), encoder.stamp, store, embed_here(encoder, max_pixels=100)
        )


def test_an_error_that_is_not_about_an_image_ends_the_run_and_keeps_what_came_before(
    images: Path, store: EmbeddingStore
) -> None:
    def fails(
        dataset: Dataset, rows: Sequence[int], hashes: Sequence[str], looking: Looking
    ) -> Iterator[EmbeddedImage]:
        yield EmbeddedImage(rows[0], np.eye(16, dtype=np.float32)[:1])
        yield EmbeddedImage(rows[1], image_problem(dataset, rows[1], "it is damaged"))
        raise RequestError("no such model")

    dataset, encoder = load_dataset(images), StubEncoder()
    with pytest.raises(RequestError, match="no such model"):
        embed_dataset(dataset, encoder.stamp, store, fails)
    assert _embed(dataset, encoder, store).embedded == N - 1


def test_float16_features_are_within_a_thousandth(images: Path, store: EmbeddingStore) -> None:
    dataset, encoder = load_dataset(images), StubEncoder()
    exact = _embed(dataset, encoder, EmbeddingStore(images / "other"))
    small = _embed(dataset, encoder, store, storage="float16")
    assert np.abs(exact.features - small.features).max() < 1e-3
    assert (exact.rounded, small.rounded) == (0, N)


def test_float16_features_are_used_by_whoever_reads_them_and_counted(
    images: Path, store: EmbeddingStore
) -> None:
    dataset, encoder = load_dataset(images), StubEncoder()
    half = dataset.take(np.arange(30))
    small = _embed(half, encoder, store, storage="float16")
    again = _embed(dataset, encoder, store)
    assert (again.embedded, again.rounded) == (N - 30, 30)
    np.testing.assert_array_equal(again.features[:30], small.features)


class MeddledEncoder(StubEncoder):
    """An encoder during whose first batch somebody meddles with the images."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        super().__init__()
        self._meddle = meddle

    def image_features(self, pixels: Pixels) -> Float32s:
        if not self.images_encoded:
            self._meddle()
        return super().image_features(pixels)


#: The last image, which is read when the first batch is done.
LAST = "gun/9.png"


def _meddled(images: Path, store: EmbeddingStore, meddle: Callable[[], object]) -> DatasetError:
    """Returns the error of a run during which somebody meddles with the images."""
    dataset, encoder = load_dataset(images), MeddledEncoder(meddle)
    assert dataset.references[-1] == images / LAST
    with pytest.raises(DatasetError) as caught:
        _embed(dataset, encoder, store)
    assert encoder.images_encoded == N - 1
    return caught.value


def test_an_image_that_is_replaced_after_it_was_hashed_is_not_stored_under_its_old_hash(
    images: Path, store: EmbeddingStore
) -> None:
    image = images / LAST
    before, other = image.read_bytes(), (images / "cat" / "0.png").read_bytes()
    [problem] = _meddled(images, store, lambda: image.write_bytes(other)).problems
    assert problem.path == str(image)
    assert problem.message == "the image changed while it was being embedded"
    image.write_bytes(before)
    assert _embed(load_dataset(images), StubEncoder(), store).embedded == 1


def test_an_image_that_vanishes_after_it_was_hashed_is_a_problem_of_its_row(
    images: Path, store: EmbeddingStore
) -> None:
    [problem] = _meddled(images, store, (images / LAST).unlink).problems
    assert problem.path == str(images / LAST)
    assert problem.message == "the image cannot be read: No such file or directory"


def test_what_is_known_to_be_wrong_is_said_before_anything_is_embedded(
    images: Path, store: EmbeddingStore
) -> None:
    dataset, encoder = load_dataset(images), StubEncoder()
    (images / "cat" / "0.png").unlink()
    with pytest.raises(DatasetError, match=r"0\.png.*cannot be read"):
        _embed(dataset, encoder, store)
    assert encoder.images_encoded == 0
    kept = _embed(dataset, encoder, store, skip_bad=True)
    assert (len(kept.dataset), kept.embedded) == (N - 1, N - 1)


def test_reading_and_embedding_show_how_far_they_are(images: Path, store: EmbeddingStore) -> None:
    shown: list[tuple[str, int, int]] = []

    def track(items: Iterable[T], total: int, doing: str, /) -> Iterator[T]:
        passed = list(items)
        shown.append((doing, total, len(passed)))
        yield from passed

    dataset, encoder = load_dataset(images), StubEncoder()
    for _ in range(2):
        _embed(dataset, encoder, store, track=track)
    reading = ("Reading images", N, N)
    assert shown == [reading, ("Embedding", N, N), reading]


def _described(model: str, store: EmbeddingStore) -> Path:
    """Returns the file with the description of a model that was loaded once."""
    with StoredEncoder(model, ModelOptions(), store, load=Loader()):
        pass
    [path] = (store.root / "models").glob("*.json")
    return path


def _asked(model: str, store: EmbeddingStore) -> int:
    """Returns how often the model is loaded by an audit that needs only its description."""
    loader = Loader()
    with StoredEncoder(model, ModelOptions(), store, load=loader) as encoder:
        assert encoder.logit_scale == loader.encoder.logit_scale
        assert encoder.stamp == loader.encoder.stamp
    return loader.asked


def _forged(path: Path, **changed: object) -> None:
    """Changes what a description says, with a hash that fits."""
    content = {**json.loads(path.read_bytes()), **changed}
    del content["sha256"]
    text = json.dumps(content, sort_keys=True)
    content["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(content))


def test_a_description_whose_content_was_changed_is_not_used(
    store: EmbeddingStore, model: str
) -> None:
    path = _described(model, store)
    assert _asked(model, store) == 0
    path.write_text(path.read_text().replace('"logit_scale": 10.0', '"logit_scale": 99.0'))
    assert [_asked(model, store), _asked(model, store)] == [1, 0]


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "nonsense", '{"sha256": 1}', "\udcff", "[" * 9999]
)
def test_a_file_that_is_not_a_description_is_not_used(
    content: str, store: EmbeddingStore, model: str
) -> None:
    _described(model, store).write_bytes(content.encode(errors="surrogateescape"))
    assert [_asked(model, store), _asked(model, store)] == [1, 0]


def _stamped(**changed: str) -> dict[str, str]:
    return {**StubEncoder().stamp.model_dump(), **changed}


@pytest.mark.parametrize(
    "changed",
    [
        {"stamp": _stamped(preprocessing="1" * 16)},
        {"stamp": _stamped(fingerprint="../../x")},
        {"preprocessing": {**asdict(StubEncoder.preprocessing), "resize": 9}},
        {"preprocessing": {}},
        {"preprocessing": []},
        {"logit_scale": "high"},
        {"more": 1},
    ],
)
def test_a_description_that_contradicts_itself_is_not_used(
    changed: dict[str, object], store: EmbeddingStore, model: str
) -> None:
    path = _described(model, store)
    _forged(path, **changed)
    assert [_asked(model, store), _asked(model, store)] == [1, 0]


def test_a_description_of_a_model_under_another_name_is_not_used(
    store: EmbeddingStore, model: str
) -> None:
    _forged(_described(model, store), reference=f"{model}/")  # has the same files
    assert [_asked(model, store), _asked(model, store)] == [1, 0]


def test_a_description_keeps_the_whole_numbers_of_a_preprocessing_whole(
    store: EmbeddingStore, model: str
) -> None:
    first, second = Loader(), Loader()
    how = replace(StubEncoder.preprocessing, mean=(0, 0, 0), std=(1, 1, 1))
    stamp = first.encoder.stamp.model_copy(update={"preprocessing": how.fingerprint})
    for loader in (first, second):
        loader.encoder.preprocessing, loader.encoder.stamp = how, stamp
    for loader in (first, second, second):
        with StoredEncoder(model, ModelOptions(), store, load=loader) as encoder:
            encoder.count_tokens([f"text {loader.asked}"])
    assert (first.asked, second.asked) == (1, 1)
    with StoredEncoder(model, ModelOptions(), store, load=second) as encoder:
        assert encoder.preprocessing == how


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stamp", StubEncoder().stamp.model_copy(update={"fingerprint": "1" * 16})),
        *(("logit_scale", 7), ("logit_bias", 7), ("context_length", 7)),
        ("preprocessing", replace(StubEncoder.preprocessing, resize=9)),
    ],
)
def test_a_model_that_differs_in_anything_from_what_was_described_is_refused(
    name: str, value: object, store: EmbeddingStore, model: str
) -> None:
    _described(model, store)
    other = Loader()
    setattr(other.encoder, name, value)
    with StoredEncoder(model, ModelOptions(), store, load=other) as encoder:
        for _ in range(2):
            with pytest.raises(ModelError, match="not the one"):
                encoder.text_features(["a text"])
            assert not encoder.loaded


def test_what_a_killed_writer_left_of_a_description_is_removed_after_a_day(
    store: EmbeddingStore, model: str
) -> None:
    path = _described(model, store)
    old, fresh = (path.with_name(f"{path.stem}-{name}.tmp") for name in ("old", "fresh"))
    anothers = path.with_name("notes.tmp")
    two_days_ago = time.time() - 2 * 24 * 3600
    for stray in (old, fresh, anothers):
        stray.write_bytes(b"half a file")
        if stray != fresh:
            os.utime(stray, (two_days_ago, two_days_ago))
    assert _asked(model, store) == 0
    assert [stray.exists() for stray in (old, fresh, anothers)] == [False, True, True]


@pytest.mark.parametrize("below", ["", "sub/folder"])
def test_a_store_that_cannot_be_used_is_refused_before_the_model_is_loaded(
    below: str, tmp_path: Path, model: str
) -> None:
    (tmp_path / "file").write_text("no folder")
    loader = Loader()
    with pytest.raises(StoreError, match="cannot be kept there"):
        StoredEncoder(model, ModelOptions(), EmbeddingStore(tmp_path / "file" / below), load=loader)
    assert loader.asked == 0


def test_a_store_that_cannot_be_used_is_refused_before_an_image_is_embedded(
    images: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    encoder = StubEncoder()
    with pytest.raises(StoreError, match="cannot be kept there"):
        _embed(load_dataset(images), encoder, EmbeddingStore(tmp_path / "file"))
    assert encoder.images_encoded == 0


def test_a_description_that_cannot_be_written_is_an_error_of_the_store(
    store: EmbeddingStore, model: str
) -> None:
    store.root.mkdir()
    (store.root / "models").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="descriptions of models cannot be written"):
        StoredEncoder(model, ModelOptions(), store, load=Loader())


@pytest.fixture
def photos(tmp_path: Path, photographs: list[Path]) -> Path:
    """A folder of three photographs, all of one class."""
    folder = tmp_path / "photos" / "some"
    folder.mkdir(parents=True)
    for i, path in enumerate(photographs[:3]):
        (folder / f"{i}{path.suffix}").write_bytes(path.read_bytes())
    return folder.parent


def _on_workers(
    dataset: Dataset, store: EmbeddingStore, broker_url: str, track: Track | None = None
) -> EmbeddedDataset:
    stamp = remote_stamp(dataset, "starter", broker_url)
    remotely = embed_remotely("starter", stamp, broker_url)
    return embed_dataset(dataset, stamp, store, remotely, track=track)


def _after_reading(meddle: Callable[[], object]) -> Track:
    """Returns what meddles once all images are read and before the first is embedded."""

    def track(items: Iterable[T], total: int, doing: str, /) -> Iterator[T]:
        yield from items
        if doing == "Reading images":
            meddle()

    return track


def test_workers_embed_no_image_under_the_hash_of_another(
    photos: Path, store: EmbeddingStore, settings: Settings, worker: EmbeddedWorker
) -> None:
    dataset, broker_url = load_dataset(photos), settings.broker_url.get_secret_value()
    first, second = (Path(str(reference)) for reference in dataset.references[:2])
    content = first.read_bytes()
    meddle = _after_reading(lambda: first.write_bytes(second.read_bytes()))
    with pytest.raises(DatasetError) as caught:
        _on_workers(dataset, store, broker_url, meddle)
    [problem] = caught.value.problems
    assert problem.path == str(first)
    assert problem.message == "the image changed while it was being embedded"
    first.write_bytes(content)
    assert _on_workers(dataset, store, broker_url).embedded == 1


def test_images_that_vanish_before_they_are_sent_to_workers_are_problems_of_their_rows(
    photos: Path, store: EmbeddingStore, settings: Settings, worker: EmbeddedWorker
) -> None:
    dataset, broker_url = load_dataset(photos), settings.broker_url.get_secret_value()
    first = Path(str(dataset.references[0]))
    with pytest.raises(DatasetError) as caught:
        _on_workers(dataset, store, broker_url, _after_reading(first.unlink))
    [problem] = caught.value.problems
    assert (problem.path, problem.message) == (
        str(first),
        "the image cannot be read: No such file or directory",
    )
    assert remote_stamp(dataset, "starter", broker_url).id == "starter"  # the first is gone


def test_workers_are_not_asked_what_their_model_is_where_no_image_can_be_read(
    photos: Path, settings: Settings, worker: EmbeddedWorker
) -> None:
    dataset = load_dataset(photos)
    for reference in dataset.references:
        Path(str(reference)).unlink()
    with pytest.raises(AuditError, match="no image of it can be read"):
        remote_stamp(dataset, "starter", settings.broker_url.get_secret_value())


def test_a_missing_sensitive_feature_is_refused_before_a_model_is_looked_for(
    images: Path, store: EmbeddingStore
) -> None:
    options = DatasetOptions(images, model="no-such-model", store=store.root)
    with (
        pytest.raises(DatasetError, match="no sensitive feature height"),
        open_subject(options, [], by=[("height",)]),
    ):
        pass
    assert not store.root.exists()


@pytest.mark.slow
def test_the_terminal_shows_which_model_it_is_and_that_the_starter_is_not_clip(
    images: Path, store: EmbeddingStore, capsys: pytest.CaptureFixture[str]
) -> None:
    options = DatasetOptions(images, store=store.root)
    with open_encoder(options, "starter") as encoder:
        assert encoder.stamp.id == "starter"
    shown = capsys.readouterr()
    assert shown.err.startswith("Model: starter (revision ")
    assert "its figures are not CLIP's" in shown.err
    assert shown.out == ""


def test_the_help_of_embed_does_not_promise_that_images_are_no_longer_needed() -> None:
    text = " ".join((embed.__doc__ or "").split())
    assert "need the model only for new prompts" in text
    assert "Keep the images" in text


def test_the_truth_of_folders_reaches_the_features(images: Path, store: EmbeddingStore) -> None:
    dataset = load_dataset(images, options=LoadOptions(truth={"cat": "allow"}))
    embedded = _embed(dataset, StubEncoder(), store)
    assert set(embedded.dataset.table["y_true"]) == {"gun", "allow"}
