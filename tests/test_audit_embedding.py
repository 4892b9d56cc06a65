"""Datasets embedded once: what touches the model, what is kept, what is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from audit.adapters import LoadOptions as HowToRead
from audit.adapters import load_dataset
from audit.dataset import Dataset
from audit.embedding import Embedded, EmbeddedDataset, embed_dataset, embed_here
from audit.errors import DatasetError
from audit.model import StoredEncoder
from audit.sweep import predict
from moderation.classifier import Encoder, Floats
from moderation.embeddings import EmbeddingStore
from moderation.encoders import LoadOptions
from moderation.errors import ImageError, ModelError, RequestError
from moderation.image import Pixels
from tests.policy_texts import policy
from tests.stub_encoder import StubEncoder

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

    def __call__(self, reference: str, options: LoadOptions) -> Encoder:
        self.asked += 1
        return self.encoder


def _embed(dataset: Dataset, encoder: Encoder, store: EmbeddingStore) -> EmbeddedDataset:
    return embed_dataset(dataset, encoder.stamp, store, embed_here(encoder))


def test_a_second_label_set_never_touches_the_encoder(
    images: Path, store: EmbeddingStore, model: str
) -> None:
    loader = Loader()
    dataset = load_dataset(images)
    with StoredEncoder(model, LoadOptions(), store, load=loader) as encoder:
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
    with StoredEncoder(model, LoadOptions(), store, load=first) as encoder:
        before = predict(policy(), encoder, _embed(dataset, encoder, store).features)
    with StoredEncoder(model, LoadOptions(), store, load=second) as encoder:
        after = predict(policy(), encoder, _embed(dataset, encoder, store).features)
        assert not encoder.loaded
    assert (first.asked, second.asked) == (1, 0)
    np.testing.assert_array_equal(before.scores, after.scores)


def test_a_model_whose_files_changed_is_loaded_and_described_again(
    images: Path, store: EmbeddingStore, model: str
) -> None:
    for content in (b"weights", b"other weights"):
        (Path(model) / "weights.safetensors").write_bytes(content)
        loader = Loader()
        with StoredEncoder(model, LoadOptions(), store, load=loader):
            assert loader.asked == 1


def test_a_model_that_is_not_what_was_described_is_refused(
    images: Path, store: EmbeddingStore, model: str
) -> None:
    with StoredEncoder(model, LoadOptions(), store, load=Loader()):
        pass
    other = Loader()
    stamp = other.encoder.stamp
    other.encoder.stamp = stamp.model_copy(update={"fingerprint": "1" * 16})
    with (
        StoredEncoder(model, LoadOptions(), store, load=other) as encoder,
        pytest.raises(ModelError, match="not the one"),
    ):
        encoder.text_features(["a text"])


class Interrupted(StubEncoder):
    """An encoder during whose second batch somebody presses Ctrl-C."""

    def image_features(self, pixels: Pixels) -> Floats:
        if self.images_encoded:
            raise KeyboardInterrupt
        return super().image_features(pixels)


def test_an_interrupted_run_keeps_what_it_embedded_and_the_next_does_the_rest(
    images: Path, store: EmbeddingStore
) -> None:
    dataset = load_dataset(images)
    interrupted, encoder = Interrupted(), StubEncoder()
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
    kept = embed_dataset(dataset, encoder.stamp, store, embed_here(encoder), skip_bad=True)
    assert (len(kept.dataset), encoder.images_encoded) == (N, 0)
    assert "broken.png" in str(kept.dataset.left_out[0])
    assert len(kept.features) == N


def test_one_image_under_two_names_is_refused_or_counted_once(
    images: Path, store: EmbeddingStore
) -> None:
    (images / "gun" / "again.png").write_bytes((images / "cat" / "0.png").read_bytes())
    dataset = load_dataset(images)
    with pytest.raises(DatasetError, match="byte for byte"):
        _embed(dataset, StubEncoder(), store)
    encoder = StubEncoder()
    kept = embed_dataset(dataset, encoder.stamp, store, embed_here(encoder), skip_bad=True)
    assert len(kept.dataset) == N


def test_an_image_over_the_pixel_limit_is_a_problem_of_its_row(
    images: Path, store: EmbeddingStore
) -> None:
    encoder = StubEncoder()
    with pytest.raises(DatasetError, match="over the limit"):
        embed_dataset(
            load_dataset(images), encoder.stamp, store, embed_here(encoder, max_pixels=100)
        )


def test_an_error_that_is_no_images_own_ends_the_run_with_what_came_before_kept(
    images: Path, store: EmbeddingStore
) -> None:
    def fails(dataset: Dataset, rows: Sequence[int], hashes: Sequence[str]) -> Iterator[Embedded]:
        yield Embedded(rows[0], np.eye(16, dtype=np.float32)[0])
        yield Embedded(rows[1], ImageError("it is damaged"))
        yield Embedded(rows[2], RequestError("no such model"))

    dataset, encoder = load_dataset(images), StubEncoder()
    with pytest.raises(RequestError, match="no such model"):
        embed_dataset(dataset, encoder.stamp, store, fails)
    assert _embed(dataset, encoder, store).embedded == N - 1


def test_float16_features_are_within_a_thousandth(images: Path, store: EmbeddingStore) -> None:
    dataset, encoder = load_dataset(images), StubEncoder()
    exact = _embed(dataset, encoder, EmbeddingStore(images / "other"))
    small = embed_dataset(dataset, encoder.stamp, store, embed_here(encoder), storage="float16")
    assert np.abs(exact.features - small.features).max() < 1e-3


def test_the_truth_of_folders_reaches_the_predictions(images: Path, store: EmbeddingStore) -> None:
    how = HowToRead(truth={"cat": "allow"})
    dataset = load_dataset(images, options=how)
    embedded = _embed(dataset, StubEncoder(), store)
    assert set(embedded.dataset.table["y_true"]) == {"gun", "allow"}
