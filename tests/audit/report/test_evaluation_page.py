"""The page and the JSON of an evaluation."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from audit.datasets.adapters import load_dataset
from audit.evaluation import EvaluatedSystem, Evaluation, LabelledImages, SystemLabel, evaluate
from audit.evaluation.thumbnails import picture_thumbnails
from audit.report.evaluation_page import shown_pictures, write_evaluation
from tests.support.annotated_files import write_picture

LABELS = (
    SystemLabel("handgun", "block", "weapons/firearms", 0.6, 0.4),
    SystemLabel("blade", "review", "weapons/blades", 0.5),
)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    """Two systems on 90 pictures, one of which has a name that would be markup."""
    generator = np.random.default_rng(2)
    given = [["handgun"] if i < 40 else ["pass"] for i in range(90)]
    ids = ["<b>0</b>.jpg", *(f"{i}.jpg" for i in range(1, 90))]
    images = LabelledImages.of_names(ids, given, "folders:mine")
    scores = generator.random((90, 2)) * 0.5
    scores[0] = 0
    scores[1:40, 0] += 0.3
    better = scores.copy()
    better[1:40, 0] = 0.9
    systems = [
        EvaluatedSystem.of_scores("old", LABELS, scores, "old.yaml"),
        EvaluatedSystem.of_scores("new", LABELS, better, "new.yaml"),
    ]
    return evaluate(images, systems, notes=["Passed over: 1 hidden."])


@pytest.fixture(scope="module")
def written(evaluation: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The page, and the JSON."""
    page, data = write_evaluation(evaluation, tmp_path_factory.mktemp("page"), {})
    return page.read_text(), data.read_text()


def test_the_page_says_what_the_json_has(written: tuple[str, str]) -> None:
    text, found = written[0], json.loads(written[1])
    assert found["n"] == 90
    shown = " ".join(re.sub(r"<[^>]+>", " ", text).split())
    for sentence in found["finding"]:
        assert " ".join(sentence.split()) in shown.replace("&#39;", "'")
    [handgun] = [f for f in found["figures"] if (f["system"], f["name"]) == ("new", "handgun")]
    recall = handgun["decisions"][0]["recall"]
    assert f"{100 * recall['value']:.1f}" in text
    assert "insufficient data" in text  # no picture shows a blade
    assert "Side by side" in text
    assert "Passed over: 1 hidden." in text


def test_the_page_needs_no_other_file_and_shows_no_picture(written: tuple[str, str]) -> None:
    text = written[0]
    assert "<img" not in text
    assert "img-src" not in text
    assert not re.search(r"(?:src|href)=[\"'](?!#)", text)
    assert "<b>0</b>" not in text
    assert "&lt;b&gt;0&lt;/b&gt;.jpg" in text


def test_small_pictures_are_in_the_page_where_they_are_asked_for(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    write_picture(tmp_path / "pictures" / "handgun" / "a.png", 1)
    dataset = load_dataset(tmp_path / "pictures")
    [uri] = picture_thumbnails(dataset, ["handgun/a.png"]).values()
    assert uri.startswith("data:image/jpeg;base64,")
    assert picture_thumbnails(dataset, []) == {}
    few = evaluation.model_copy(update={"figures": ()})  # without the curves, which take long
    [wrong, *_] = sorted(shown_pictures(few))
    text = write_evaluation(few, tmp_path / "out", {wrong: uri})[0].read_text()
    assert "img-src data:" in text
    assert set(re.findall(r'<img src="([^"]+)"', text)) == {uri}


def test_one_system_alone_has_nothing_beside_it(tmp_path: Path) -> None:
    images = LabelledImages.of_names(["a"], [["blade"]])
    system = EvaluatedSystem.of_scores("mine", LABELS, [[0, 0.9]])
    text = write_evaluation(evaluate(images, [system]), tmp_path, {})[0].read_text()
    assert "Side by side" not in text
    assert "No picture is wrong." in text
