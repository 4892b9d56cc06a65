"""The page of two to sixty-four labels: its commands are run, its figures computed twice.

Once by the audit, and once from the files with pandas alone.
"""

from __future__ import annotations

from collections.abc import Iterator
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


@pytest.fixture(scope="module")
def faces_said(clip_predictions: Path) -> dict[str, pd.DataFrame]:
    """What each training said, and for each label set whether its gender is another one."""
    found = {}
    for training, name in FILES.items():
        said = pd.read_csv(clip_predictions / name)
        for called, column in SETS.items():
            said[called] = said[f"gender_{column}"] != said["gender"]
        said["race × gender"] = said["race"] + " × " + said["gender"]
        found[training] = said
    return found


@pytest.fixture(scope="module")
def reports(clip_predictions: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Row]:
    """The results of the page's commands."""
    clone = Clone(tmp_path_factory.mktemp("clone"))
    (clone.folder / "predictions").symlink_to(clip_predictions)
    [command] = blocks(PAGE, "sh")
    clone.run(command.text)
    return {training: load_results(clone.folder / out) for training, out in OUT.items()}


def rates(report: Row, by: str, group: str) -> list[tuple[int, int]]:
    """Returns the wrong and all of a group, by label set."""
    own = {"metric": "misclassification_rate", "by": by, "group": group}
    rows = [pick(report["rates"], policy=column, **own) for column in SETS.values()]
    return [(row["count"], row["n"]) for row in rows]


def test_the_accuracies_are_those_that_are_published(faces_said: dict[str, pd.DataFrame]) -> None:
    right = {t: [round(1 - said[s].mean(), 4) for s in SETS] for t, said in faces_said.items()}
    assert right == {"OpenAI": [0.9561, 0.9517, 0.9544], "laion2b": [0.9641, 0.9632, 0.9665]}


def test_the_table_of_accuracies_is_so(
    faces_said: dict[str, pd.DataFrame], reports: dict[str, Row]
) -> None:
    rows = []
    for training, said in faces_said.items():
        counts = [(int(said[labels].sum()), len(said)) for labels in SETS]
        assert counts == rates(reports[training], "overall", "overall")
        for labels, (wrong, n) in zip(SETS, counts, strict=True):
            right = f"{100 * (1 - wrong / n):.2f} %"
            cells = (training, labels, right, with_share(wrong, n))
            rows.append(dict(zip(("training", "labels", "right", "wrong"), cells, strict=True)))
    assert table(section(PAGE, "One accuracy").prose) == rows


def expected_rows(
    faces_said: dict[str, pd.DataFrame], reports: dict[str, Row], by: str, shown: list[str]
) -> Iterator[dict[str, str]]:
    """Yields the rows of a table of groups, after the report has the same counts."""
    for training, said in faces_said.items():
        for group, own in said.groupby(by):
            counts = [(int(own[labels].sum()), len(own)) for labels in SETS]
            assert counts == rates(reports[training], by, str(group))
            if group in shown:
                cells = {label: with_share(*pair) for label, pair in zip(SETS, counts, strict=True)}
                yield {"training": training, "group": str(group), "n": f"{len(own):,}", **cells}


@pytest.mark.parametrize(
    ("heading", "by"), [("Other people", "race × gender"), ("The youngest", "age")]
)
def test_the_tables_of_groups_are_so(
    faces_said: dict[str, pd.DataFrame], reports: dict[str, Row], heading: str, by: str
) -> None:
    on_page = table(section(PAGE, heading).prose)
    shown = [row["group"] for row in on_page]
    rows = list(expected_rows(faces_said, reports, by, shown))
    assert sorted(on_page, key=str) == sorted(rows, key=str)


def test_the_picture_is_that_of_the_report(reports: dict[str, Row]) -> None:
    shown = (DOCS / "examples" / "two-fourteen-sixty-four.svg").read_text(encoding="utf-8")
    assert picture(Results.model_validate(reports["OpenAI"])) == shown


def test_what_is_claimed_is_so(reports: dict[str, Row]) -> None:
    assert prose(PAGE)
