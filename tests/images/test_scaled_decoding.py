"""What decoding JPEGs smaller changes in pixels, scores and decisions, on photographs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import scaled_decoding
from benchmarks.photographs import camera_files, find_jpegs
from benchmarks.scaled_decoding import LAST_BIT, Deviation, deviations, pooled, squares
from moderation.encoders.encoder import Encoder
from moderation.encoders.options import ModelOptions
from moderation.encoders.registry import load_encoder
from moderation.images.pixels import SCALE
from moderation.policy import load_policies
from moderation.scoring.classifier import Classifier

#: Largest and mean change that is let pass. Measured on 175 photographs at four sizes: see the
#: table of docs/performance.md.
LARGEST_PIXEL, MEAN_PIXEL = 6, 0.25
MEAN_SIMILARITY, MEAN_SCORE = 0.0025, 0.002


@pytest.fixture(scope="module")
def starter() -> Encoder:
    return load_encoder("starter", ModelOptions())


@pytest.fixture(scope="module")
def changes(objects: Path, starter: Encoder) -> dict[str, Deviation]:
    """Of 20 photographs at two sizes, by what made them."""
    policies = load_policies(scaled_decoding.POLICIES).values()
    classifiers = [Classifier.of(policy, starter) for policy in policies]
    paths = find_jpegs(objects, 9)
    assert len(paths) >= 19
    found: list[Deviation] = []
    for side in (1600, 2560):
        read = squares(camera_files(paths, side), starter)
        found += deviations(str(side), read, starter, classifiers)
    return {difference.name: difference for difference in pooled(found)}


@pytest.mark.slow
def test_scaled_decoding_changes_pixels_and_scores_little(changes: dict[str, Deviation]) -> None:
    ours = changes[f"SCALE {SCALE}"]
    assert 0 < ours.largest_pixel <= LARGEST_PIXEL
    assert ours.mean_pixel <= MEAN_PIXEL
    assert ours.mean_similarity <= MEAN_SIMILARITY
    assert ours.mean_score <= MEAN_SCORE
    assert ours.changed_decisions <= ours.decisions / 100
    assert changes["SCALE 1"].largest_pixel > LARGEST_PIXEL, "the bound says nothing"


def test_scaled_decoding_changes_scores_less_than_a_last_bit_of_noise_does(
    changes: dict[str, Deviation],
) -> None:
    ours = changes[f"SCALE {SCALE}"]
    assert ours.mean_pixel < changes[LAST_BIT].mean_pixel
    assert ours.mean_similarity < changes[LAST_BIT].mean_similarity
    assert ours.mean_score < changes[LAST_BIT].mean_score


@pytest.mark.slow
def test_the_benchmark_measures_photographs_of_ones_own(
    objects: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, content in zip(
        find_jpegs(objects, 60), camera_files(find_jpegs(objects, 60), 1300), strict=True
    ):
        (tmp_path / f"{path.parent.name}-{path.name}").write_bytes(content)
    report = tmp_path / "report.json"
    assert scaled_decoding.main(["--photos", str(tmp_path), "--json", str(report)]) == 0
    assert "decisions" in capsys.readouterr().out
    rows = json.loads(report.read_text())["differences"]
    assert {row["name"] for row in rows} >= {"reference", "SCALE 1", "SCALE 4"}
    assert {row["images"] for row in rows} == {3}
    assert scaled_decoding.main(["--photos", str(tmp_path / "none")]) == 2
