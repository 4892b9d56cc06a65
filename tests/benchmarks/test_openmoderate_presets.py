"""openmoderate's presets on models of ours; where it is installed, they score by their own code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from audit.metrics.truth import SystemLabel
from benchmarks.openmoderate_presets import EncoderEngine, preset_meaning, preset_predictions
from moderation.errors import ModelError
from tests.support.stub_encoder import StubEncoder


def test_an_engine_encodes_no_square_twice() -> None:
    stub = StubEncoder()
    engine = EncoderEngine(stub)
    pictures = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue", "red")]
    rows = engine.encode_images(pictures)
    assert stub.images_encoded == 2
    assert np.array_equal(rows[0], rows[2])
    assert np.array_equal(engine.encode_images(pictures[1:]), rows[1:])
    assert stub.images_encoded == 2
    assert np.array_equal(engine.encode_texts(["a cup"]), stub.text_features(["a cup"]))


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("weapons/firearms", "weapons"),
        ("weapons", "weapons"),
        ("self-harm", "self-harm"),
        ("allow", "allow"),
        ("privacy/payment", "privacy/payment"),
    ],
)
def test_a_class_means_to_a_preset_what_its_category_or_a_parent_of_it_means(
    name: str, meaning: str
) -> None:
    labels = [SystemLabel("weapons", "review"), SystemLabel("self_harm", "x", "self-harm")]
    assert preset_meaning(name, labels) == meaning


def test_without_openmoderate_its_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openmoderate", cast(Any, None))
    with pytest.raises(ModelError, match="pip install openmoderate"):
        preset_predictions("fast", [])


def test_a_preset_scores_by_its_own_code(tmp_path: Path) -> None:
    openmoderate = pytest.importorskip("openmoderate", reason="openmoderate is not installed")
    files = []
    for number, colour in enumerate(("red", "green", "blue")):
        files.append(tmp_path / f"{number}.png")
        Image.new("RGB", (40, 30), colour).save(files[-1])
    engine = EncoderEngine(StubEncoder())
    said = preset_predictions("balanced", files, engine=engine, categories=["drugs", "weapons"])
    theirs = openmoderate.Moderator(
        preset="balanced", engine=engine, categories=["drugs", "weapons"]
    )
    results = theirs.analyze_batch(files)
    assert [label.id for label in said.labels] == theirs.category_names
    for row, flagged, result in zip(said.scores, said.fired, results, strict=True):
        for column, label in enumerate(said.labels):
            assert row[column] == pytest.approx(result.score(label.id), abs=1e-4)
        assert flagged.sum() == len(result.violations)
    with pytest.raises(ModelError, match="Unknown preset"):
        preset_predictions("quick", files, engine=engine)
    with pytest.raises(ModelError, match="Unknown category"):
        preset_predictions("fast", files, engine=engine, categories=["no such"])
