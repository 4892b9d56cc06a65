"""The benchmark of what gets past: a quick run of it, and what the manipulations make."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.evasion import QUICK_EACH, main
from benchmarks.manipulations import Manipulation, Original, manipulations
from benchmarks.photographs import PHOTOGRAPHS


@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason="../shared/data is not here")
def test_a_quick_run_counts_every_photograph_and_finds_most_where_nothing_was_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "found.json"
    assert main(["--quick", "--json", str(path)]) == 0
    found = json.loads(path.read_text())["found"]
    assert {row["views"] for row in found} == {1, "auto"}
    assert len({row["group"] for row in found}) == 9
    for row in found:
        assert row["n"] == QUICK_EACH
        assert 0 <= row["blocked"] <= row["flagged"] <= row["n"]
        for rate in ("blocked", "flagged"):
            low, high = row[f"{rate}_interval"]
            assert low <= row[rate] / row["n"] <= high
    blocked = {
        (row["name"], row["views"]): row["blocked"] for row in found if row["kind"] == "revolver"
    }
    names = {name for name, _ in blocked}
    assert len(found) == 2 * len(blocked) == 4 * len(names)
    assert blocked["as it is", 1] == blocked["as it is", "auto"] == QUICK_EACH
    # The default sees what one view sees, and more: an object at the end of a panorama among it.
    assert all(blocked[name, "auto"] >= blocked[name, 1] for name in names if "against" not in name)
    assert blocked["4:1, left, plain", 1] == 0 < blocked["4:1, left, plain", "auto"]
    # Noise that was computed against the model's own view hides what it sees there.
    assert blocked["8/255, against one view", 1] == 0
    assert "as it is" in capsys.readouterr().out


def test_manipulations_are_files_that_are_the_same_each_time() -> None:
    chance = np.random.default_rng(0)
    photos = [
        Image.fromarray(chance.integers(0, 255, (60, 90, 3), dtype=np.uint8)) for _ in range(3)
    ]
    original = Original(photos[0], photos[1:], True, (1, 2))
    made = manipulations()
    assert len({(each.group, each.name) for each in made}) == len(made)
    for each in made:
        if "200" not in each.name:
            assert each.make(original) == each.make(original)
    assert _frames(_named(made, "of 20, a scene that moves"), original) == 20
    assert _size(_named(made, "9:16, bottom, plain"), original) == (300, 533)


def _named(made: list[Manipulation], name: str) -> Manipulation:
    [found] = [each for each in made if each.name == name]
    return found


def _frames(way: Manipulation, original: Original) -> int:
    with Image.open(io.BytesIO(way.make(original))) as image:
        return int(getattr(image, "n_frames", 1))


def _size(way: Manipulation, original: Original) -> tuple[int, int]:
    with Image.open(io.BytesIO(way.make(original))) as image:
        return image.size
