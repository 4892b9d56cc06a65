"""`moderation model check`: what it says of models that know the photographs, and of others."""

from __future__ import annotations

import json
import math
import shutil
import sys
from itertools import permutations
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModel, AutoTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from typer.testing import CliRunner

from moderation.commands.app import app
from moderation.commands.exit_codes import WRONG_USAGE, exit_code
from moderation.commands.model_check import CAPTIONS, PUBLISHED, PUBLISHED_MODEL, check_model
from moderation.encoders.encoder import Float32s
from moderation.encoders.matching import MOST_PAIRS, Matching
from moderation.messages import ModelStamp
from moderation.settings import load_settings
from tests.support.stub_encoder import StubEncoder

#: About what OpenAI published for the first of the photographs.
OWN, OTHER = 0.31, 0.15


def _check(model: str | Path, code: int) -> dict[str, Any]:
    """Returns the JSON of the command, which ends with an exit code."""
    done = CliRunner().invoke(app, ["model", "check", str(model), "--format", "json"])
    assert done.exit_code == code, done.output
    return cast(dict[str, Any], json.loads(done.stdout))


def _states(found: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["state"] for each in found["checks"]}


@pytest.mark.slow
def test_the_starter_pairs_photographs_with_captions_and_is_not_clip() -> None:
    found = _check("starter", 0)
    assert found["model"]["id"] == found["kind"] == "starter"
    assert not found["behaves_like_clip"]
    assert "it is not CLIP" in found["conclusion"]
    assert _states(found)["kind"] == "warn"
    assert _states(found)["matches"] == _states(found)["similarities"] == "ok"
    assert found["matches"] == {
        "pairs": 12,
        "photographs": 6,
        "captions": 8,
        "p": pytest.approx(2.1e-6, rel=0.05),
    }
    pairs = {pair["photograph"]: pair for pair in found["pairs"]}
    assert list(pairs) == list(CAPTIONS)
    assert pairs["coffee.png"]["nearest_caption"] == CAPTIONS["coffee.png"]
    assert pairs["moon.png"]["nearest_caption"] != CAPTIONS["moon.png"]
    assert all(speed > 0 for speed in found["speed"].values())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_random_weights_fail(kind: str, request: pytest.FixtureRequest) -> None:
    found = _check(request.getfixturevalue(f"toy_{kind}"), 1)
    assert not found["behaves_like_clip"]
    assert found["kind"].lower() == kind
    assert found["conclusion"] == f"It does not behave like a trained {found['kind']}."
    assert (_states(found)["matches"], _states(found)["logit scale"]) == ("fail", "warn")
    assert found["matches"]["p"] > 0.05


@pytest.fixture
def taught_clip(toy_clip: Path, photographs: list[Path], tmp_path: Path) -> Path:
    """The toy checkpoint with projections that give the pairs CLIP's similarities."""
    files = {path.name: path for path in photographs}
    processor: Any = CLIPImageProcessorPil.from_pretrained(toy_clip)
    images = [Image.open(files[name]).convert("RGB") for name in CAPTIONS]
    tokens = AutoTokenizer.from_pretrained(toy_clip)(list(CAPTIONS.values()), padding=True)
    model: Any = AutoModel.from_pretrained(toy_clip)
    with torch.no_grad():
        seen = model.vision_model(**processor(images, return_tensors="pt")).pooler_output
        read = model.text_model(**tokens.convert_to_tensors("pt")).pooler_output
        _project(model.visual_projection, seen, np.eye(12, 32))
        _project(model.text_projection, read, _texts_like_clips())
        model.logit_scale.fill_(math.log(100))
    folder = Path(shutil.copytree(toy_clip, tmp_path / "clip"))
    model.save_pretrained(folder)
    return folder


def _texts_like_clips() -> Any:
    """Returns (12, 32) rows of unit length, whose first columns are their similarities."""
    rows = np.zeros((12, 32))
    rows[:, :12] = _like_clip()
    rows[:, 12] = np.sqrt(1 - (rows**2).sum(axis=1))
    return rows


def _project(layer: Any, inputs: torch.Tensor, wanted: Any) -> None:
    """Sets the weights of a linear layer so that it makes what is wanted of its inputs."""
    weights, *_ = np.linalg.lstsq(inputs.double().numpy(), wanted, rcond=None)
    layer.weight.copy_(torch.from_numpy(weights.T))


@pytest.mark.slow
def test_a_checkpoint_that_knows_the_pairs_behaves_like_a_trained_clip(
    taught_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODERATION_DTYPE", "float32")
    found = _check(taught_clip, 0)
    assert found["conclusion"] == "It behaves like a trained CLIP."
    assert found["behaves_like_clip"]
    assert set(_states(found).values()) == {"ok"}
    assert found["matches"]["photographs"] == found["matches"]["captions"] == 12
    assert found["matches"]["p"] == pytest.approx(1 / math.factorial(12))
    assert found["similarities"]["own"] == pytest.approx(OWN, abs=0.01)
    assert found["similarities"]["others"] == pytest.approx(OTHER, abs=0.01)
    assert found["logit_scale"] == pytest.approx(100)
    assert found["logit_bias"] is None
    printed = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["model", "check", str(taught_clip)])
    assert "It behaves like a trained CLIP." in printed.stdout
    assert found["model"]["fingerprint"] in printed.stdout
    assert "12 of 12 photographs have their own caption nearest" in printed.stdout


class PairedEncoder(StubEncoder):
    """An encoder whose similarities of the photographs and captions are those given."""

    def __init__(self, similarities: Any, scale: float = 100.0, model: str = "paired") -> None:
        super().__init__(scale)
        self.stamp = ModelStamp(**{**self.stamp.model_dump(), "id": model})
        self._similarities = np.asarray(similarities, np.float32)

    def image_features(self, pixels: Any) -> Float32s:
        return np.eye(len(pixels), dtype=np.float32)

    def text_features(self, texts: Any) -> Float32s:
        return self._similarities.T


def _like_clip(own: float = OWN) -> Float32s:
    similarities = np.full((12, 12), OTHER, np.float32)
    np.fill_diagonal(similarities, own)
    return similarities


def _conclusion(encoder: PairedEncoder) -> tuple[str, list[str]]:
    """Returns what is concluded of an encoder, and the checks that are not well."""
    checked = check_model(lambda: encoder, load_settings())
    return checked.conclusion, [each.name for each in checked.diagnoses if each.state != "ok"]


def test_what_is_unusual_is_named_and_does_not_fail() -> None:
    few = _like_clip()
    few[:3, 4] = 0.5
    assert _conclusion(PairedEncoder(few)) == (
        "It pairs photographs with captions, but differs from a usual CLIP in: matches.",
        ["matches"],
    )
    assert _conclusion(PairedEncoder(_like_clip(0.9)))[1] == ["similarities"]
    assert _conclusion(PairedEncoder(_like_clip(), scale=14.3))[1] == ["logit scale"]


def test_similarities_that_are_not_numbers_fail() -> None:
    for wrong in (float("nan"), 0.2):
        conclusion, unlike = _conclusion(PairedEncoder(np.full((12, 12), wrong)))
        assert conclusion == "It does not behave like a trained CLIP."
        assert "matches" in unlike


def test_the_model_that_openai_published_figures_of_is_held_to_them() -> None:
    published = _like_clip()
    published[:5, :5] = PUBLISHED
    assert _conclusion(PairedEncoder(published, model=PUBLISHED_MODEL))[1] == []
    published[0, 0] += 0.03
    assert _conclusion(PairedEncoder(published, model=PUBLISHED_MODEL))[1] == ["published"]
    assert _conclusion(PairedEncoder(published))[1] == []


def test_without_scikit_image_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "skimage", cast(Any, None))
    words = ["model", "check", "starter"]
    assert exit_code(lambda: app(words, standalone_mode=False), wrong_usage=WRONG_USAGE) == 2
    assert "pip install 'evenhand[demo]'" in capsys.readouterr().err


@pytest.mark.parametrize("seed", range(6))
def test_p_is_the_share_of_all_ways_to_pair_that_match_as_well(seed: int) -> None:
    chance = np.random.default_rng(seed)
    n = 6
    similarities = chance.normal(size=(n, n)).astype(np.float32)
    similarities += 1.5 * np.eye(n, dtype=np.float32) * (seed % 3)
    similarities[:, 0] += seed // 3  # one text is near to most images
    matching = Matching(similarities)
    hits = [
        sum(row.argmax() == own for row, own in zip(similarities, way, strict=True))
        + sum(similarities[:, text].argmax() == way.index(text) for text in range(n))
        for way in permutations(range(n))
    ]
    assert hits[0] == matching.image_hits + matching.text_hits
    assert matching.p == sum(each >= hits[0] for each in hits) / len(hits)


def test_equals_and_what_is_no_number_are_no_hit() -> None:
    matching = Matching(np.zeros((3, 3), np.float32))
    assert (matching.image_hits, matching.text_hits, matching.p) == (0, 0, 1.0)
    assert matching.nearest_texts == [-1, -1, -1]
    with pytest.raises(ValueError, match="counted up to 20"):
        _ = Matching(np.eye(MOST_PAIRS + 1, dtype=np.float32)).p
