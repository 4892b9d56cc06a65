"""One contract for every encoder, and CLIP compared with plain transformers at toy size."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer, pipeline
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from moderation.encoders.encoder import Encoder, Float32s
from moderation.encoders.hardware import choose_hardware
from moderation.encoders.options import ModelOptions
from moderation.encoders.registry import LOADERS, load_encoder
from moderation.errors import ModelError, SettingsError
from moderation.images.looks import Pixels
from moderation.images.pixels import decode, preprocess
from moderation.scoring.classifier import Classifier
from moderation.settings import load_settings
from tests.support.policy_texts import policy
from tests.support.stub_encoder import StubEncoder

TEXTS = ["a photo of a cat.", "a photo of a handgun.", "a dog, seen from afar, on a couch"]

#: The largest difference of a feature's entry between bfloat16 and float32, and the least cosine of
#: the two. bfloat16 keeps 8 bits, so an operation is off by up to 2^-8 = 0.4 %. Measured at toy
#: size: 0.0045 and 0.99995; at ViT-B/32's shape with random weights: 0.0018 and 0.99994.
BFLOAT16_ENTRY, BFLOAT16_COSINE = 0.01, 0.9998


WIDE = {
    runtime: ModelOptions(dtype="float32", runtime=runtime) for runtime in ("torch", "openvino")
}
CLIPS = [f"{kind} {runtime}" for kind in ("clip", "siglip") for runtime in WIDE]
CONTRACT = ["starter", "stub", *CLIPS]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def loaded(toy_clip: Path, toy_siglip: Path) -> Callable[[str], Encoder]:
    """Loads an encoder of the contract by its name, once."""
    folders = {"clip": toy_clip, "siglip": toy_siglip}

    @cache
    def load(name: str) -> Encoder:
        if name == "stub":
            return StubEncoder()
        if name == "starter":
            return load_encoder(name, ModelOptions())
        kind, runtime = name.split()
        return load_encoder(str(folders[kind]), WIDE[runtime])

    return load


@pytest.fixture
def clip(loaded: Callable[[str], Encoder]) -> Encoder:
    return loaded("clip torch")


@pytest.fixture(params=CONTRACT)
def encoder(request: pytest.FixtureRequest, loaded: Callable[[str], Encoder]) -> Encoder:
    return loaded(request.param)


@pytest.fixture(scope="session")
def images(photographs: list[Path]) -> list[Image.Image]:
    return [decode(path.read_bytes(), max_pixels=10_000_000) for path in photographs]


def _pixels(images: list[Image.Image], of: Encoder) -> Pixels:
    return np.stack([preprocess(image, of.preprocessing) for image in images])


def test_every_registered_encoder_is_under_the_contract() -> None:
    assert set(LOADERS) <= {name.split()[0] for name in CONTRACT}


def test_features_are_finite_float32_rows_of_unit_length(
    encoder: Encoder, images: list[Image.Image]
) -> None:
    for rows in (encoder.image_features(_pixels(images, encoder)), encoder.text_features(TEXTS)):
        assert rows.dtype == np.float32
        assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(len(rows)), abs=1e-5)
    assert encoder.text_features(TEXTS).shape == (3, rows.shape[1])


def test_a_batch_of_one_equals_a_batch_of_32(encoder: Encoder, images: list[Image.Image]) -> None:
    pixels = np.resize(_pixels(images, encoder), (32, *_pixels(images[:1], encoder).shape[1:]))
    together = encoder.image_features(pixels)
    alone = np.concatenate([encoder.image_features(pixels[i : i + 1]) for i in range(32)])
    assert abs(together - alone).max() < 1e-5


def test_texts_differ_and_do_not_depend_on_those_beside_them(encoder: Encoder) -> None:
    together = encoder.text_features(TEXTS)
    alone = np.concatenate([encoder.text_features([text]) for text in TEXTS])
    assert abs(together - alone).max() < 1e-5
    cosines = together @ together.T
    assert cosines[np.triu_indices(3, 1)].max() < 0.999


def test_tokens_are_counted_uncut(encoder: Encoder) -> None:
    short, long = encoder.count_tokens(["a cat", "a cat " * 500])
    assert short < encoder.context_length < long


def test_the_stamp_is_the_same_at_every_load(toy_clip: Path, clip: Encoder) -> None:
    assert load_encoder(str(toy_clip), WIDE["torch"]).stamp == clip.stamp


def _plain_forward(
    folder: Path, images: list[Image.Image], processor: Callable[..., dict[str, torch.Tensor]]
) -> tuple[Float32s, Float32s]:
    """Returns image and text features as transformers' documentation computes them."""
    model = AutoModel.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        rows = [
            model.get_image_features(**processor(image, return_tensors="pt")).pooler_output
            for image in images
        ]
        texts = [
            model.get_text_features(
                **tokenizer(text, padding="max_length", max_length=77, return_tensors="pt")
            ).pooler_output
            for text in TEXTS
        ]
    image_rows, text_rows = (
        torch.nn.functional.normalize(torch.cat(part)).numpy() for part in (rows, texts)
    )
    return image_rows, text_rows


@pytest.mark.parametrize("name", CLIPS)
def test_features_equal_a_plain_float32_forward(
    name: str,
    loaded: Callable[[str], Encoder],
    images: list[Image.Image],
    request: pytest.FixtureRequest,
) -> None:
    kind, ours = name.split()[0], loaded(name)
    folder = request.getfixturevalue(f"toy_{kind}")
    processor: Any = CLIPImageProcessorPil if kind == "clip" else SiglipImageProcessorPil
    image_rows, text_rows = _plain_forward(folder, images, processor.from_pretrained(folder))
    assert abs(ours.image_features(_pixels(images, ours)) - image_rows).max() < 1e-5
    assert abs(ours.text_features(TEXTS) - text_rows).max() < 1e-5


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_bfloat16_stays_within_its_stated_bound_of_float32(
    runtime: str, toy_clip: Path, clip: Encoder, images: list[Image.Image]
) -> None:
    if runtime == "openvino" and choose_hardware(ModelOptions(device="cpu")).dtype == torch.float32:
        pytest.skip("this CPU does not multiply in bfloat16")
    narrow = load_encoder(str(toy_clip), ModelOptions(dtype="bfloat16", runtime=runtime))
    assert (narrow.stamp.dtype, narrow.stamp.runtime) == ("bfloat16", runtime)
    pixels = _pixels(images, clip)
    for wide_rows, rows in (
        (clip.image_features(pixels), narrow.image_features(pixels)),
        (clip.text_features(TEXTS), narrow.text_features(TEXTS)),
    ):
        assert 0 < abs(wide_rows - rows).max() < BFLOAT16_ENTRY
        assert (wide_rows * rows).sum(axis=1).min() > BFLOAT16_COSINE


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_policys_scores_equal_transformers_zero_shot_pipeline(
    toy_clip: Path, clip: Encoder, images: list[Image.Image]
) -> None:
    labels = policy().model_dump(mode="json")["labels"]
    labels[0]["prompts"] = ["a gun"]
    single = policy(labels=labels, templates=["This is a photo of {}."])
    classifier = Classifier.of(single, clip)
    scores = classifier.scores(classifier.similarities(clip.image_features(_pixels(images, clip))))
    zero_shot = pipeline(
        "zero-shot-image-classification",
        model=AutoModel.from_pretrained(toy_clip),
        tokenizer=AutoTokenizer.from_pretrained(toy_clip),
        image_processor=CLIPImageProcessorPil.from_pretrained(toy_clip),
        device="cpu",
    )
    names = [label.prompts[0] for label in single.labels]
    for row, image in zip(scores, images, strict=True):
        answers = zero_shot(image, candidate_labels=names)
        expected = {answer["label"]: answer["score"] for answer in answers}
        assert row == pytest.approx([expected[name] for name in names], abs=1e-5)


def test_the_starter_knows_a_cup_and_a_motorcycle(
    loaded: Callable[[str], Encoder], photographs: list[Path], images: list[Image.Image]
) -> None:
    starter = loaded("starter")
    texts = starter.text_features([f"a photo of {x}." for x in ("a cup", "a motorcycle", "a dog")])
    rows = starter.image_features(_pixels(images, starter)) @ texts.T
    best = {path.name: int(row.argmax()) for path, row in zip(photographs, rows, strict=True)}
    assert best["coffee.png"] == 0
    assert best["motorcycle_left.png"] == 1


@pytest.fixture
def folder(toy_clip: Path, tmp_path: Path) -> Path:
    """A copy of the toy checkpoint, which the test may change."""
    return Path(shutil.copytree(toy_clip, tmp_path / "copy"))


@contextmanager
def _changed_weights(folder: Path) -> Iterator[dict[str, torch.Tensor]]:
    """Yields the weights of a checkpoint, which are saved when the block ends."""
    weights = load_file(folder / "model.safetensors")
    yield weights
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def test_weights_that_could_run_code_are_never_loaded(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="does not load"):
        load_encoder(str(folder), ModelOptions())


def test_other_weights_have_another_fingerprint(folder: Path, toy_clip: Path) -> None:
    with _changed_weights(folder) as weights:
        weights["logit_scale"] += 1
    options = ModelOptions(dtype="float32")
    found = {load_encoder(str(path), options).stamp.fingerprint for path in (folder, toy_clip)}
    assert len(found) == 2


def test_a_checkpoint_without_a_logit_scale_is_refused(folder: Path) -> None:
    with _changed_weights(folder) as weights:
        del weights["logit_scale"]
    with pytest.raises(ModelError, match="logit_scale"):
        load_encoder(str(folder), ModelOptions())


def test_a_model_of_another_type_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match="is of type bert, not one of clip, siglip"):
        load_encoder(str(folder), ModelOptions())


@pytest.mark.parametrize(
    "reference", ["./no-such-folder", "no/such/hub/id", "openai/clip-vit-base-patch32@3d74acf9"]
)
def test_a_model_that_cannot_be_had_names_the_three_ways_out(
    reference: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError) as caught:
        load_encoder(reference, ModelOptions(offline=True))
    for way in ("moderation model pull", "local folder", "name starter"):
        assert way in caught.value.remedy


def test_logit_scale_and_bias_are_exact_in_bfloat16_too(toy_siglip: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(toy_siglip, tmp_path / "copy"))
    with _changed_weights(folder) as weights:
        weights["logit_scale"].fill_(4.7647)
        weights["logit_bias"].fill_(-16.7713)
    encoder = load_encoder(str(folder), ModelOptions(dtype="bfloat16"))
    assert encoder.logit_scale == pytest.approx(np.exp(4.7647), rel=1e-6)
    assert encoder.logit_bias == pytest.approx(-16.7713, rel=1e-6)


def test_siglip_reads_lower_case_as_it_was_trained(loaded: Callable[[str], Encoder]) -> None:
    upper, lower = loaded("siglip torch").text_features(["an ID card", "an id card"])
    assert np.array_equal(upper, lower)


@pytest.mark.parametrize("step", ["do_resize", "do_rescale", "do_normalize"])
def test_a_checkpoint_that_leaves_out_a_step_is_refused(step: str, folder: Path) -> None:
    config = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps({**config, step: False}))
    with pytest.raises(ModelError, match="steps that are not supported"):
        load_encoder(str(folder), ModelOptions())


def test_an_unknown_device_is_refused(toy_clip: Path) -> None:
    with pytest.raises(ModelError, match="device cuda:99"):
        load_encoder(str(toy_clip), ModelOptions(device="cuda:99"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runtime": "opnvino"}, "no runtime 'opnvino'. Use one of: auto, torch, openvino"),
        ({"runtime": ""}, "no runtime ''"),
        ({"dtype": "float23"}, "no number format 'float23'. Use one of: auto, float32, bfloat16,"),
        ({"dtype": "int8"}, "no number format 'int8'"),  # which torch has
        ({"dtype": "manual_seed"}, "no number format 'manual_seed'"),  # and this
        ({"device": "cdua"}, "no device 'cdua'. Use one of: auto, cpu, cuda,"),
        ({"device": "cuda:"}, "no device 'cuda:'"),
        ({"device": "cuda:one"}, "no device 'cuda:one'"),
        ({"device": "cuda:²"}, "no device 'cuda:²'"),
    ],
)
def test_a_misspelt_way_to_load_a_model_is_refused_with_those_that_exist(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        ModelOptions(**options)
    assert str(caught.value).startswith(f"model: there is {message}")


def test_an_operators_settings_are_the_ways_to_load_a_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {"DTYPE": "bfloat16", "RUNTIME": "torch", "DEVICE": "cuda:1", "THREADS": "2"}
    given |= {"CUDA_GRAPHS": "false", "COMPILE": "true"}
    for name, value in given.items():
        monkeypatch.setenv(f"MODERATION_{name}", value)
    asked = ModelOptions("cuda:1", "bfloat16", False, "torch", 2, graphs=False, compile=True)
    assert ModelOptions.of(load_settings()) == asked
    with pytest.raises(SettingsError, match="there is no device 'gpu'"):
        ModelOptions.of(load_settings(device="gpu"))
