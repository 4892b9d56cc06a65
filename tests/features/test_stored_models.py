"""What models make of images is kept: made once, equal to the last bit, whoever asks first."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from moderation.encoders.encoder import Encoder, Float32s
from moderation.encoders.options import ModelOptions
from moderation.errors import ModelError, ModerationError, PolicyError, StoreError
from moderation.features import EmbeddingStore, FeatureSpace
from moderation.features.stored_models import StoredModels
from moderation.images.looks import Looking
from moderation.messages import Verdict
from moderation.policy import Policy, parse_policy
from moderation.scoring.pipeline import Pipeline
from moderation.scoring.pipeline_loading import load_pipeline
from moderation.settings import load_settings
from tests.support.desk import coloured
from tests.support.hostile_files import saved
from tests.support.onnx_files import classified_policy, described, mean_colours, write_onnx
from tests.support.sample_pipeline import POLICY
from tests.support.stub_encoder import StubEncoder

COLOURS = [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)]
PICTURES = [coloured(colour) for colour in COLOURS]
PLAIN = parse_policy(POLICY, "colours.yaml")


def moving() -> bytes:
    """Returns an animation of four looks."""
    frames = [Image.new("RGB", (16, 16), colour) for colour in COLOURS]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100)


@contextmanager
def opened(
    root: Path | None, encoder: StubEncoder, policy: Policy = PLAIN, **changed: Any
) -> Iterator[Pipeline]:
    """Yields a pipeline over a store; over none for None."""
    settings = load_settings(decoders=1, threads=1, model="stub", frames=4, views=1, **changed)
    if root is None:
        with load_pipeline(settings, {policy.id: policy}, load=lambda _: encoder) as pipeline:
            yield pipeline
        return
    with (
        stored_models(root, encoder, classifiers=settings.classifiers) as stored,
        load_pipeline(settings, {policy.id: policy}, stored=stored) as pipeline,
    ):
        yield pipeline


def stored_models(root: Path, encoder: Encoder, **named: Any) -> StoredModels:
    store = EmbeddingStore(root)
    return StoredModels(
        store, ModelOptions(), Looking(4, 1), load=lambda _name, _options: encoder, **named
    )


def verdicts(pipeline: Pipeline, contents: list[bytes]) -> list[dict[str, Any]]:
    """Returns the verdict on each image, without what differs each time."""
    served = pipeline.served(pipeline.policies)
    found: list[Verdict] = []
    for content in contents:
        found += pipeline.moderate(content, served, request_id="a")
    return [each.model_dump(exclude={"timings"}) for each in found]


def test_verdicts_are_the_same_to_the_last_bit_and_no_image_is_embedded_twice(
    tmp_path: Path,
) -> None:
    encoder = StubEncoder()
    contents = [*PICTURES, moving(), PICTURES[0]]
    with opened(None, encoder) as pipeline:
        expected = verdicts(pipeline, contents)
    assert encoder.images_encoded == 9
    for embedded in (5, 0):
        before = encoder.images_encoded
        with opened(tmp_path, encoder) as pipeline:
            assert verdicts(pipeline, contents) == expected
            assert pipeline.stored is not None
            assert (pipeline.stored.asked, pipeline.stored.embedded) == (6, embedded)
        assert encoder.images_encoded - before == (8 if embedded else 0)


def test_many_threads_that_show_one_image_embed_it_once(tmp_path: Path) -> None:
    encoder = StubEncoder()
    with opened(tmp_path, encoder) as pipeline, ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda i: verdicts(pipeline, [PICTURES[i % 2]]), range(60)))
    assert encoder.images_encoded == 2
    assert [found[0], found[1]] * 30 == found


def test_features_are_recalled_from_the_store_alone(tmp_path: Path) -> None:
    content, encoder = moving(), StubEncoder()
    digest = hashlib.sha256(content).hexdigest()
    with opened(tmp_path, encoder) as pipeline:
        served = pipeline.served(["colours"])
        assert pipeline.recall(digest, served) is None
        [verdict] = pipeline.moderate(content, served, request_id="a")
        found = pipeline.recall(digest, served)
        assert found is not None
        assert {name: rows.shape for name, rows in found.items()} == {"stub": (4, 16)}
        [decided] = served[0].decide([found])
        assert decided.decision.labels == verdict.labels
    with opened(None, encoder) as pipeline:
        assert pipeline.recall(digest, pipeline.served(["colours"])) is None


def test_rounded_features_decide_nothing_but_are_recalled_and_take_their_exact_place(
    tmp_path: Path,
) -> None:
    encoder, content = StubEncoder(), PICTURES[1]
    digest = hashlib.sha256(content).hexdigest()
    with opened(tmp_path / "exact", encoder) as pipeline:
        expected = verdicts(pipeline, [content])
        exact = pipeline.recall(digest, pipeline.served(["colours"]))
    assert exact is not None
    space = FeatureSpace.of_images(encoder.stamp, Looking(4, 1))
    with EmbeddingStore(tmp_path / "rounded").open(space, "float16") as features:
        features.add([digest], exact["stub"])
    for embedded in (1, 0):
        before = encoder.images_encoded
        with opened(tmp_path / "rounded", encoder) as pipeline:
            assert pipeline.recall(digest, pipeline.served(["colours"])) is not None
            assert verdicts(pipeline, [content]) == expected
        assert encoder.images_encoded - before == embedded


def test_features_of_another_number_of_looks_are_not_used(tmp_path: Path) -> None:
    encoder, content = StubEncoder(), moving()
    space = FeatureSpace.of_images(encoder.stamp, Looking(4, 1))
    with EmbeddingStore(tmp_path).open(space) as features:
        three = encoder.text_features(["a", "b", "c"])
        features.add([hashlib.sha256(content).hexdigest()], three, [3])
    with opened(None, encoder) as pipeline:
        expected = verdicts(pipeline, [content])
    with opened(tmp_path, encoder) as pipeline:
        assert verdicts(pipeline, [content]) == expected


def test_what_was_embedded_before_ctrl_c_is_kept(tmp_path: Path) -> None:
    encoder = StubEncoder()

    def interrupted() -> None:
        with opened(tmp_path, encoder) as pipeline:
            verdicts(pipeline, PICTURES[:2])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with opened(tmp_path, encoder) as pipeline:
        verdicts(pipeline, PICTURES)
    assert encoder.images_encoded == 4


def test_a_pipeline_that_looks_otherwise_than_the_store_is_refused(tmp_path: Path) -> None:
    settings = load_settings(decoders=1, frames=4, views="auto", model="stub")
    refused = pytest.raises(ValueError, match="kept are looks at")
    with stored_models(tmp_path, StubEncoder()) as stored, refused:
        load_pipeline(settings, {"colours": PLAIN}, stored=stored)


def test_classifiers_are_asked_once_and_loaded_only_for_what_is_new(tmp_path: Path) -> None:
    sha256 = write_onnx(mean_colours(), tmp_path / "colours.onnx")
    mixed = parse_policy(classified_policy(described(sha256)), "mixed.yaml")
    encoder, red = StubEncoder(), PICTURES[1]
    with opened(None, encoder, mixed, classifiers=tmp_path) as pipeline:
        expected = verdicts(pipeline, [red])
    for folder in (tmp_path, tmp_path / "nowhere"):  # the second time no file is needed
        with opened(tmp_path / "store", encoder, mixed, classifiers=folder) as pipeline:
            assert verdicts(pipeline, [red]) == expected
            found = pipeline.recall(hashlib.sha256(red).hexdigest(), pipeline.served(["mixed"]))
            assert found is not None
            assert len(found) == 2
    with opened(tmp_path / "store", encoder, mixed, classifiers=tmp_path / "nowhere") as pipeline:
        with pytest.raises(PolicyError, match="onnx"):
            verdicts(pipeline, [PICTURES[2]])
        assert isinstance(pipeline.stored and pipeline.stored.failure, PolicyError)


def test_a_model_that_cannot_be_loaded_is_tried_once(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="what knows a model's files is not installed")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    tried: list[str] = []

    def load(reference: str, _: ModelOptions) -> Encoder:
        tried.append(reference)
        raise ModelError("its weights are gone", reference)

    with stored_models(tmp_path / "store", StubEncoder()) as first:
        first.encoder(str(folder)).text_features(["a text"])
        assert first.loaded
    store = EmbeddingStore(tmp_path / "store")
    with StoredModels(store, ModelOptions(), Looking(4, 1), load=load) as second:
        encoder = second.encoder(str(folder))
        encoder.text_features(["a text"])
        assert (second.loaded, second.failure, tried) == (False, None, [])
        for text in ("another", "a third"):
            with pytest.raises(ModelError, match="its weights are gone"):
                encoder.text_features([text])
        assert (second.loaded, str(second.failure)) == (False, f"{folder}: its weights are gone")
    assert tried == [str(folder)]


def test_what_fails_to_be_encoded_or_kept_fails_for_all_that_wait_for_it(tmp_path: Path) -> None:
    encoding: Future[Any] = Future()
    with stored_models(tmp_path, StubEncoder()) as stored:
        stored.encoder("stub")
        both = [stored.encoded("stub", "0" * 64, 1, lambda: encoding) for _ in range(2)]
        assert not any(each.done() for each in both)
        encoding.set_exception(ModelError("an image feature is not finite"))
        for each in both:
            with pytest.raises(ModelError, match="not finite"):
                each.result()
        whole: Future[Any] = Future()
        whole.set_result(np.zeros((1, 16), np.float32))
        with pytest.raises(ModerationError, match="not of unit length"):
            stored.encoded("stub", "0" * 64, 1, lambda: whole).result()
        assert (stored.asked, stored.embedded) == (3, 0)


def test_a_store_that_is_damaged_is_an_error_and_no_verdict(tmp_path: Path) -> None:
    encoder = StubEncoder()
    with opened(tmp_path, encoder) as pipeline:
        verdicts(pipeline, PICTURES)
    [path] = (tmp_path / "images").rglob("*.parquet")
    content = path.read_bytes()
    path.write_bytes(content[:300] + bytes([content[300] ^ 1]) + content[301:])
    with pytest.raises(StoreError, match="damaged"), opened(tmp_path, encoder) as pipeline:
        verdicts(pipeline, PICTURES)


@pytest.mark.parametrize("rows", [np.ones(16, np.float32), np.ones((0, 16), np.float32)])
def test_rows_that_cannot_be_kept_are_an_error_and_not_waited_for(
    tmp_path: Path, rows: Float32s
) -> None:
    coming: Future[Float32s] = Future()
    with stored_models(tmp_path, StubEncoder()) as stored:
        stored.encoder("stub")
        found = stored.encoded("stub", "1" * 64, 1, lambda: coming)
        coming.set_result(rows)
        with pytest.raises(ValueError, match="keys and rows of shape"):
            found.result(timeout=5)
        again: Future[Float32s] = Future()
        assert stored.encoded("stub", "1" * 64, 1, lambda: again) is not found
