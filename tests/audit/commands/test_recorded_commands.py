"""Recorded features on the command line: real CLIP features, in processes without torch."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.audit.commands.test_commands import audit
from tests.conftest import POLICIES, SHARED
from tests.support.annotated_files import write_csv

RN50 = SHARED / "data" / "clip_fairface_rn50"
SETS = ("man_synms", "woman_synms", "gender_synms")
COLUMNS = ("id=file", "race=race", "gender=gender", "age=age", "y_true=folder")
CLAIMS = ("--model-id", "OpenAI CLIP RN50", "--logit-scale", "100")
MEN = {"Black", "East Asian", "Indian", "Latino_Hispanic", "Middle Eastern", "Southeast Asian"}

LABELS = """\
schema_version: 1
id: {name}
version: 1
title: Labels for people
decision: top_label
templates: ["a photo of a {{}}"]
labels:
  - {{id: man, prompts: [man]}}
  - {{id: woman, prompts: [woman], action: allow}}
"""
DEHUMANISING = """\
  - {id: neanderthal, prompts: [Neanderthal], category: dehumanising, action: review}
  - {id: homo-erectus, prompts: [Homo_erectus], category: dehumanising, action: review}
"""


@pytest.fixture(scope="module")
def rn50() -> Path:
    """The folder of real features of CLIP's RN50 on FairFace."""
    if not RN50.is_dir():
        pytest.skip(f"{RN50} is not there")
    return RN50


def columns(*pairs: str) -> list[str]:
    return [word for pair in pairs for word in ("--column", pair)]


@pytest.fixture(scope="module")
def recorded(rn50: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of them, with its texts."""
    out = tmp_path_factory.mktemp("recorded") / "rn50"
    features = str(rn50 / "image_features_rn50_f16.npy")
    texts = ["--texts", str(rn50 / "text_features_rn50_f16.npz")]
    texts += ["--words", str(rn50 / "text_labels.json"), "--template", "a photo of a {word}"]
    texts += [word for name in SETS for word in ("--text-set", name)]
    labels = ["--labels", str(rn50 / "labels.csv"), *columns(*COLUMNS)]
    said = ["--source", "bias-explore", "--licence", "none stated"]
    done = audit(
        "import", features, *labels, *texts, *CLAIMS, *said, "--out", str(out), without_torch=True
    )
    assert "2,000 images and 400 texts" in done.stdout
    return out


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Policies of two labels, with two dehumanising ones, and with boy."""
    folder = tmp_path_factory.mktemp("policies")
    texts = {
        "two": LABELS.format(name="two"),
        "four": LABELS.format(name="four") + DEHUMANISING,
        "boy": LABELS.format(name="boy") + DEHUMANISING + "  - {id: boy, prompts: [boy]}\n",
    }
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return {name: str(folder / f"{name}.yaml") for name in texts}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A model and a store of its own."""
    return ["--model", "starter", "--store", str(tmp_path_factory.mktemp("store"))]


@pytest.fixture(scope="module")
def images(faces: Path, model: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The options of an audit of a hundred images, one look at each."""
    with (faces / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[::7]
    labels = tmp_path_factory.mktemp("labels") / "labels.csv"
    write_csv(labels, rows, list(rows[0]))
    given = ["-d", str(labels), "--adapter", "fairface", "--images", str(faces), *model]
    return [*given, "--frames", "1", "--views", "1"]


def _top_labels(rn50: Path, words: list[str]) -> tuple[list[dict[str, str]], list[str]]:
    """Returns annotated rows and the word that each face resembles most, by numpy alone."""
    images = np.load(rn50 / "image_features_rn50_f16.npy").astype(np.float64)
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    known = json.loads((rn50 / "text_labels.json").read_text())
    sets = np.load(rn50 / "text_features_rn50_f16.npz")
    features = []
    for word in words:
        name = next(name for name in SETS if word in known[name])
        row = sets[name][known[name].index(word)].astype(np.float64)
        features.append(row / np.linalg.norm(row))
    with (rn50 / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    top = (images @ np.stack(features).T).argmax(axis=1)
    return rows, [words[place] for place in top]


def _rates(path: Path, metric: str = "selection_rate") -> dict[tuple[str, str], tuple[int, int]]:
    found: list[dict[str, Any]] = json.loads((path / "results.json").read_text())["rates"]
    return {
        (rate["policy"], rate["group"]): (rate["count"], rate["n"])
        for rate in found
        if rate["metric"] == metric
    }


def test_real_features_give_the_figures_that_numpy_gives(
    rn50: Path, recorded: Path, policies: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "report"
    options = ["-d", str(recorded), "--by", "race,gender", "--out", str(out)]
    audit("compare", policies["four"], policies["boy"], *options, without_torch=True)
    found = _rates(out)
    shares = {}
    for name, more in (("four", []), ("boy", ["boy"])):
        rows, top = _top_labels(rn50, ["man", "woman", "Neanderthal", "Homo_erectus", *more])
        for race in (*MEN, "White"):
            own = [
                word in ("Neanderthal", "Homo_erectus")
                for row, word in zip(rows, top, strict=True)
                if (row["race"], row["gender"]) == (race, "Male")
            ]
            assert found[name, f"{race} × Male"] == (sum(own), len(own))
            shares[name, race] = sum(own) / len(own)
    assert 0.86 < min(shares["four", race] for race in (*MEN, "White")) < 0.87
    assert 0.96 < max(shares["four", race] for race in (*MEN, "White")) < 0.97
    assert round(shares["boy", "Black"], 2) == 0.64
    assert round(shares["boy", "White"], 2) in (0.81, 0.82)
    report = (out / "report.html").read_text()
    for claim in ("OpenAI CLIP RN50", "bias-explore", "none stated", "a photo of a {word}"):
        assert claim in report


def test_man_against_woman_is_right_for_nine_of_ten(
    rn50: Path, recorded: Path, policies: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "report"
    audit("run", policies["two"], "-d", str(recorded), "--out", str(out), without_torch=True)
    count, n = _rates(out, "misclassification_rate")["two", "overall"]
    rows, top = _top_labels(rn50, ["man", "woman"])
    assert count == sum(row["folder"] != word for row, word in zip(rows, top, strict=True))
    assert (n - count) / n == 0.8965


def test_ablate_gate_and_skew_need_no_model(
    recorded: Path, policies: dict[str, str], tmp_path: Path
) -> None:
    options = ["-d", str(recorded)]
    done = audit("ablate", policies["four"], *options, "--by", "race", without_torch=True)
    assert "asks for prompts that are not recorded: 'a picture of man.'" in done.stderr
    limits = tmp_path / "limits.yaml"
    limits.write_text("schema_version: 1\nsensitive_features: [race]\nworst_group_rate: 0.5\n")
    gated = ["--policy", policies["four"], "--limits", str(limits), *options]
    done = audit("gate", *gated, code=1, without_torch=True)
    assert "features recorded as of OpenAI CLIP RN50" in done.stdout
    unknown = ["a photo of a crime", "a photo of a maan"]
    done = audit("skew", *unknown, *options, code=2, without_torch=True)
    assert all(f"the prompt '{prompt}' is not recorded" in done.stderr for prompt in unknown)
    prompts = [word for prompt in unknown for word in ("--prompt", prompt)]
    done = audit("run", policies["four"], *prompts, *options, code=2, without_torch=True)
    assert all(f"the prompt '{prompt}' is not recorded" in done.stderr for prompt in unknown)
    done = audit("skew", "a photo of a man", *options, "--format", "json", without_torch=True)
    assert {row["by"] for row in json.loads(done.stdout)} == {"race", "gender", "age"}


def test_a_prompt_that_is_not_recorded_is_an_error_with_its_place(
    recorded: Path, policies: dict[str, str], tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(Path(policies["four"]).read_text().replace("Homo_erectus", "Homo erectuss"))
    done = audit("run", str(wrong), "-d", str(recorded), code=1, without_torch=True)
    [(row, column)] = [
        (row, line.index("Homo erectuss") + 1)
        for row, line in enumerate(wrong.read_text().splitlines(), 1)
        if "Homo erectuss" in line
    ]
    assert (
        f"{wrong}:{row}:{column}: the prompt 'a photo of a Homo erectuss' is not recorded"
        in done.stderr
    )
    assert "The nearest recorded: 'a photo of a Homo erectus'" in done.stderr


def test_another_model_than_claimed_is_refused(recorded: Path, policies: dict[str, str]) -> None:
    options = ["-d", str(recorded), "--model", "starter"]
    done = audit("run", policies["two"], *options, code=2, without_torch=True)
    assert "claimed to be of OpenAI CLIP RN50, and starter is named" in done.stderr
    named = ["-d", str(recorded), "--model", "OpenAI CLIP RN50"]
    audit("run", policies["two"], *named, "--by", "race", without_torch=True)


def test_other_commands_know_a_recording(recorded: Path, tmp_path: Path) -> None:
    done = audit("datasets", "info", str(recorded), "--format", "json", without_torch=True)
    told = json.loads(done.stdout)
    assert (told["adapter"], told["n"]) == ("recorded", 2000)
    done = audit("embed", "-d", str(recorded), code=2, without_torch=True)
    assert "its features are recorded already" in done.stderr
    out = str(tmp_path / "balanced.csv")
    done = audit("datasets", "balance", str(recorded), "--by", "race", "--out", out, code=2)
    assert "not every image of it is a file" in done.stderr


def test_exported_images_are_audited_like_the_images(images: list[str], tmp_path: Path) -> None:
    """The features of images, recorded with the prompts of a policy, give the same results."""
    policy = str(POLICIES / "variants" / "person-labels.yaml")
    audit("run", policy, *images, "--out", str(tmp_path / "images"))
    out = str(tmp_path / "recorded")
    done = audit("export", *images, "--policy", policy, "--out", out, without_torch=True)
    assert "100 images and" in done.stdout
    report = str(tmp_path / "report")
    audit("run", policy, "-d", out, "--out", report, without_torch=True)
    one, two = (
        json.loads((tmp_path / name / "results.json").read_text()) for name in ("images", "report")
    )
    for name in (
        "rates",
        "differences",
        "gaps",
        "separations",
        "near_duplicates",
        "tipping_points",
    ):
        assert one[name] == two[name]
    assert two["header"]["recording"]["model_id"] == "starter"


def test_an_export_says_how_its_claims_are_typed_on_import(recorded: Path, tmp_path: Path) -> None:
    done = audit("export", "-d", str(recorded), "--layout", "npy", "--out", str(tmp_path / "out"))
    claims = (*CLAIMS[:3], "100.0", "--source", "bias-explore", "--licence", "none stated")
    assert done.stdout.rstrip().endswith(f"on import: {shlex.join(claims)}")


def test_a_policy_beside_recorded_texts_is_refused(
    recorded: Path, policies: dict[str, str], tmp_path: Path
) -> None:
    given = ["-d", str(recorded), "--policy", policies["two"], "--out", str(tmp_path / "out")]
    assert "all texts of a recording go along" in audit("export", *given, code=2).stderr


def test_a_recording_without_texts_takes_those_of_its_model(
    images: list[str], model: list[str], tmp_path: Path
) -> None:
    out = str(tmp_path / "recorded")
    audit("export", *images, "--out", out)
    policy = str(POLICIES / "variants" / "person-labels.yaml")
    done = audit("run", policy, "-d", out, code=2)
    assert "no texts were recorded" in done.stderr
    audit("run", policy, "-d", out, *model, "--by", "race")
    stated = Path(out, "recording.json")
    stated.write_text(stated.read_text().replace('"logit_scale": ', '"logit_scale": 1'))
    done = audit("run", policy, "-d", out, *model, code=2)
    assert "Import the features of this model" in done.stderr


def test_import_says_everything_that_is_wrong_and_leaves_nothing(tmp_path: Path) -> None:
    np.save(tmp_path / "features.npy", np.array([[1, 0], [np.nan, 0], [0, 0]], np.float32))
    (tmp_path / "labels.csv").write_text("file,race\na,Black\na,White\nc,\n")
    out = tmp_path / "out"
    labels = ["--labels", str(tmp_path / "labels.csv"), *columns("id=file", "race=race")]
    given = ["import", str(tmp_path / "features.npy"), *labels, *CLAIMS, "--out", str(out)]
    done = audit(*given, code=2, without_torch=True)
    for what in ("is nan in 1 place", "is zero in every place", "the id a is also in row 2"):
        assert what in done.stderr
    assert "race is empty" in done.stderr
    assert not out.exists()
    done = audit(*given, "--words", "x.txt", code=2)
    assert "whose features they are is not said" in done.stderr
