"""The page of two to sixty-four labels: its commands are run, its figures computed twice.

Once by the audit, and once from the files with pandas alone.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from audit import Results
from scripts.picture import picture
from tests.support.pages import DOCS, section, table
from tests.support.worked_pages import Clone, Row, blocks, load_results, pick, prose, with_share

PAGE = "examples/two-fourteen-sixty-four.md"
FILES = {
    "OpenAI": "openai_clip_vitl14_fairface_val.csv",
    "laion2b": "openclip_vitl14_laion2b_fairface_val.csv",
}
OUT = {"OpenAI": "openai", "laion2b": "laion2b"}
#: The label sets as the page calls them, and as the files do.
SETS = {"two": "two", "fourteen": "fourteen", "sixty-four": "age_race_gender"}
CROSSED = "race × gender"

Said = dict[str, pd.DataFrame]
Reports = dict[str, Row]


@pytest.fixture(scope="module")
def said(clip_predictions: Path) -> Said:
    """What each training said, and for each label set whether its gender is another one."""
    found = {}
    for training, name in FILES.items():
        own = pd.read_csv(clip_predictions / name)
        for called, column in SETS.items():
            own[called] = own[f"gender_{column}"] != own["gender"]
        own[CROSSED] = own["race"] + " × " + own["gender"]
        found[training] = own
    return found


@pytest.fixture(scope="module")
def reports(clip_predictions: Path, tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """The results of the page's commands."""
    clone = Clone(tmp_path_factory.mktemp("clone"))
    (clone.folder / "predictions").symlink_to(clip_predictions)
    [command] = blocks(PAGE, "sh")
    clone.run(command.text)
    return {training: load_results(clone.folder / out) for training, out in OUT.items()}


def wrong(said: Said, training: str, labels: str, by: str, group: str) -> int:
    """Returns how many of a group are wrong."""
    own = said[training]
    return int(own[labels][own[by] == group].sum())


def test_the_accuracies_are_those_that_are_published(said: Said) -> None:
    right = {t: [round(1 - own[s].mean(), 4) for s in SETS] for t, own in said.items()}
    assert right == {"OpenAI": [0.9561, 0.9517, 0.9544], "laion2b": [0.9641, 0.9632, 0.9665]}


@pytest.mark.parametrize("by", ["gender", "race", "age", CROSSED])
def test_the_report_counts_as_pandas_does(said: Said, reports: Reports, by: str) -> None:
    for training, every in said.items():
        for group, own in every.groupby(by):
            for labels, column in SETS.items():
                wanted = {"policy": column, "by": by, "group": group}
                row = pick(reports[training]["rates"], metric="misclassification_rate", **wanted)
                assert (row["count"], row["n"]) == (own[labels].sum(), len(own))


def test_the_table_of_accuracies_is_so(said: Said) -> None:
    rows = []
    for training, own in said.items():
        for labels in SETS:
            count, n = int(own[labels].sum()), len(own)
            right = f"{100 * (1 - count / n):.2f} %"
            rows.append((training, labels, right, with_share(count, n)))
    assert [tuple(row.values()) for row in table(section(PAGE, "One accuracy").prose)] == rows


def test_the_table_of_people_is_so(said: Said) -> None:
    rows = []
    sizes = said["OpenAI"].groupby(CROSSED).size()
    for group, n in sizes.items():
        counts = [wrong(said, t, s, CROSSED, str(group)) for t in FILES for s in list(SETS)[:2]]
        rows.append((str(group), f"{n:,}", *(with_share(count, n) for count in counts)))
    assert [tuple(row.values()) for row in table(section(PAGE, "Other people").prose)] == rows


def test_the_table_of_the_youngest_is_so(said: Said) -> None:
    ages, rows = ("0-2", "30-39"), []
    sizes = [int((said["OpenAI"]["age"] == age).sum()) for age in ages]
    for training in FILES:
        for labels in SETS:
            counts = [wrong(said, training, labels, "age", age) for age in ages]
            rows.append((training, labels, *map(with_share, counts, sizes)))
    on_page = table(section(PAGE, "The youngest").prose)
    assert [tuple(row.values()) for row in on_page] == rows
    assert list(on_page[0])[2:] == [f"{a}, n = {n:,}" for a, n in zip(ages, sizes, strict=True)]
    shares = [
        100 * wrong(said, t, labels, "age", age) / n
        for age, n in zip(ages, sizes, strict=True)
        for t in FILES
        for labels in SETS
    ]
    young, grown = shares[:6], shares[6:]
    text = f"{min(young):.1f} to {max(young):.1f} %, and {min(grown):.1f} to {max(grown):.1f} %"
    assert text in prose(PAGE)


def claimed_shifts(report: Row, after: str) -> dict[str, tuple[int, int, int]]:
    """Returns of each claimed group how many came to be wrong, no longer are, and are in all."""
    return {
        row["group"]: (row["entered"], row["left"], row["n"])
        for row in report["shifts"]
        if row["metric"] == "misclassification_rate" and row["after_policy"] == after
        if row["claim"] and not row["matched"]
    }


def test_the_claimed_changes_are_so(said: Said, reports: Reports) -> None:
    claimed = {training: claimed_shifts(report, "fourteen") for training, report in reports.items()}
    assert claimed == {
        "OpenAI": {
            "Female": (90, 41, 5162),
            "Black × Male": (25, 3, 799),
            "East Asian × Female": (24, 2, 773),
        },
        "laion2b": {
            "Female": (13, 48, 5162),
            "Male": (62, 17, 5792),
            "White × Male": (17, 0, 1122),
            "Latino_Hispanic × Male": (14, 0, 793),
            "White × Female": (1, 24, 963),
        },
    }
    for training, groups in claimed.items():
        own = said[training]
        came, left = (own["fourteen"] & ~own["two"], own["two"] & ~own["fourteen"])
        for group, counts in groups.items():
            members = (own["gender"] == group) | (own[CROSSED] == group)
            assert counts == (came[members].sum(), left[members].sum(), members.sum())


def test_of_sixty_four_labels_one_change_is_claimed(reports: Reports) -> None:
    claimed = {t: claimed_shifts(report, SETS["sixty-four"]) for t, report in reports.items()}
    assert claimed == {"OpenAI": {}, "laion2b": {"Indian × Male": (0, 18, 753)}}
    assert "of 753 Indian men 18 are no longer called women, and none comes" in prose(PAGE)


def test_the_changes_are_as_said() -> None:
    text = prose(PAGE)
    for words in (
        "of 799 Black men, 25 come to be called women and 3 no longer are",
        "Of 773 East Asian women, 24 come to be called men and 2 no longer are",
        "of 1,122 White men 17 come to be wrong and none leaves, of 793 Latino men 14 and none",
        "of 963 White women 1 comes and 24 leave",
        "(90 come, 41 leave, of 5,162), with laion2b's fewer (13 come, 48 leave)",
    ):
        assert words in text


def test_the_youngest_are_claimed_six_times(reports: Reports) -> None:
    for report in reports.values():
        for policy in SETS.values():
            group = {"by": "age", "group": "0-2", "comparison": "to_overall"}
            metric = {"policy": policy, "metric": "misclassification_rate"}
            row = pick(report["differences"], **group, **metric)
            assert row["claim"]
            assert row["difference"] > 0


@pytest.mark.parametrize("training", FILES)
def test_the_picture_is_that_of_the_report(reports: Reports, training: str) -> None:
    file = DOCS / "examples" / f"two-fourteen-{training.lower()}.svg"
    drawn = picture(Results.model_validate(reports[training]), CROSSED)
    assert drawn == file.read_text(encoding="utf-8")
