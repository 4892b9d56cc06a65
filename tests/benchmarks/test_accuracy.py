"""The benchmark of accuracy: its counts, what it says of wrong options, and gaps of groups."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audit.datasets.groups import Groups, overall_group
from audit.metrics.truth import SystemLabel, Truth
from audit.statistics.intervals import difference, wilson
from benchmarks.accuracy import main
from benchmarks.accuracy_gaps import gap_rows
from benchmarks.judging import Judge
from benchmarks.openmoderate_presets import PresetPredictions
from moderation.encoders.options import ModelOptions
from moderation.encoders.registry import load_encoder
from moderation.images.looks import DEFAULT_LOOKING
from moderation.policy import find_policy, load_policy
from moderation.scoring.classifier import Classifier

CLASSES = {"revolver": "weapons/firearms", "cup": "allow", "watch": "allow"}
EACH = 2


@pytest.fixture
def few(objects: Path, tmp_path: Path) -> Path:
    """A folder with a few photographs of three classes."""
    for name in CLASSES:
        (tmp_path / "few" / name).mkdir(parents=True)
        for path in sorted((objects / name).iterdir())[:EACH]:
            shutil.copy(path, tmp_path / "few" / name)
    return tmp_path / "few"


@pytest.mark.slow
def test_a_run_counts_what_a_worker_would_decide(
    few: Path, objects: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "found.json"
    truth = [f"{name}={meaning}" for name, meaning in CLASSES.items()]
    (few / "pizza").mkdir()
    shutil.copy(next((objects / "pizza").iterdir()), few / "pizza")
    words = [str(few), "--json", str(file), "--openmoderate", "--truth", *truth]
    assert main(words) == 0
    found = json.loads(file.read_text())
    encoder = load_encoder("starter", ModelOptions())
    judge = Judge(encoder, [Classifier.of(load_policy(find_policy("weapons")), encoder)])
    flagged = {
        name: sum(
            int(judge.severities(path.read_bytes(), [DEFAULT_LOOKING])[0, 0]) >= 2
            for path in (few / name).iterdir()
        )
        for name in CLASSES
    }
    [whole] = [row for row in found["evaluation"]["figures"] if _is_whole(row)]
    own = whole["decisions"][0]
    assert own["true_positives"] == flagged["revolver"] == EACH
    assert own["false_positives"] == flagged["cup"] + flagged["watch"]
    assert (whole["positives"], whole["negatives"]) == (EACH, 2 * EACH)
    low, high = wilson(EACH, EACH)
    recall = [own["recall"][name] for name in ("value", "low", "high", "n")]
    assert recall == [1.0, float(low), float(high), EACH]
    printed = capsys.readouterr().out
    assert "7 images" in printed
    assert "pizza (1 image) means nothing to any side" in printed
    assert "its figures are not CLIP's" in printed
    assert "openmoderate is not compared" in printed


def _is_whole(row: dict[str, Any]) -> bool:
    return (row["kind"], row["name"]) == ("action", "flagged")


def test_what_is_asked_for_wrongly_is_said_in_words(
    few: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, said in (
        ([str(few / "none")], "is not here"),
        ([str(few), "--truth", "revolver"], "revolver is not NAME=VALUE"),
        ([str(few), "--by", "race"], "there is no sensitive feature race"),
        ([str(few), "-p", "no-such"], "cannot be read"),
    ):
        assert main([*words, "--openmoderate"]) in (2, 3)
        assert said in "".join(capsys.readouterr())


def _said(flagged: Any, negative: Any) -> PresetPredictions:
    n = len(flagged)
    unknown = np.zeros((n, 1), bool)
    truth = Truth(np.zeros(n, bool), np.asarray(negative), unknown, {})
    return PresetPredictions(
        name="it",
        outcomes=np.where(flagged, 2, 0).astype(np.int8)[:, None],
        truth=truth,
        categories_said=(SystemLabel("weapons", "review", None, 0.5),),
        scores=np.asarray(flagged, float)[:, None],
    )


def test_the_widest_gap_is_between_the_groups_that_differ_most() -> None:
    groups = Groups("kind", ("a", "b", "c"), np.repeat([0, 1, 2], [100, 100, 20]))
    flagged = np.zeros(220, bool)
    flagged[:30], flagged[100:105], flagged[200:] = True, True, True
    whole = overall_group(220)
    [row] = gap_rows([_said(flagged, np.ones(220, bool))], [whole, groups])
    assert (row["worst"], row["worst_count"], row["best"], row["best_count"]) == ("a", 30, "b", 5)
    assert (row["metric"], row["left_out"]) == ("false_positive_rate", ["c"])
    low, high = difference(30, 100, 5, 100)
    assert row["difference"] == 0.25
    assert row["difference_low"] == pytest.approx(float(low))
    assert row["difference_high"] == pytest.approx(float(high))
    assert row["p"] == row["p_holm"] < 1e-4
    # Where the truth of no image is known, all flags are compared.
    [row] = gap_rows([_said(flagged, np.zeros(220, bool))], [whole, groups])
    assert row["metric"] == "selection_rate"
    assert gap_rows([_said(flagged, np.ones(220, bool))], [whole]) == []
