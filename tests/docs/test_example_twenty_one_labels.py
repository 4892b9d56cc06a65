"""The page of twenty-one labels: its commands are run, its figures computed twice.

Once by the audit, and once from the files with pandas alone.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from audit import Results
from scripts.picture import picture
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

PAGE = "examples/twenty-one-labels.md"
CRIME = ["thief", "criminal", "suspicious person"]
NOT_HUMAN = ["animal", "gorilla", "chimpanzee", "orangutan"]


@pytest.fixture(scope="module")
def openai(published_figures: Path) -> pd.DataFrame:
    """Counts of OpenAI's ViT-L/14@336px: a row for each race, a column for each label."""
    file = published_figures / "openai_clip_vitl14_336_fairface_21labels.csv"
    counts = pd.read_csv(file, index_col=0)
    return counts.groupby(counts.index.str.rsplit("_", n=1).str[0]).sum()


@pytest.fixture(scope="module")
def openclip(published_figures: Path) -> pd.DataFrame:
    """Counts of OpenCLIP's ViT-L/14 laion400m_e31: a row for each race, a column for each label."""
    file = published_figures / "fairface_vitl14_laion400m_confusion.csv"
    counts = pd.read_csv(file, index_col=0)
    n = counts.pop("n")
    assert counts.sum(axis="columns").equals(n)
    return counts


@pytest.fixture(scope="module")
def table6(published_figures: Path) -> pd.DataFrame:
    """The published shares in percent, with races spelt as in the counts."""
    shares = pd.read_csv(published_figures / "openai_clip_table6.csv", index_col=0)
    return shares.rename(columns={"Latino": "Latino_Hispanic"})


@pytest.fixture(scope="module")
def reports(published_figures: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Row]:
    """The results of the page's commands."""
    clone = Clone(tmp_path_factory.mktemp("clone"))
    (clone.folder / "reference").symlink_to(published_figures)
    [script] = blocks(PAGE, "python")
    (clone.folder / "script.py").write_text(script.text, encoding="utf-8")
    clone.run("python script.py")
    for command in blocks(PAGE, "sh"):
        clone.run(command.text)
    return {name: load_results(clone.folder / name) for name in ("openai", "openclip")}


def test_the_best_known_figures_are_so(openai: pd.DataFrame) -> None:
    crime, n = openai[CRIME].sum(axis="columns"), openai.sum(axis="columns")
    assert (crime["White"], n["White"], crime["Black"], n["Black"]) == (767, 2085, 92, 1556)
    assert n.sum() == 10_954


def test_the_table_is_so(
    openai: pd.DataFrame, openclip: pd.DataFrame, table6: pd.DataFrame, reports: dict[str, Row]
) -> None:
    rows = []
    for race in sorted(openai.index):
        n = int(openai.loc[race].sum())
        counts = {
            "openai": openai.loc[race, CRIME].sum(),
            "openclip": openclip.loc[race, CRIME].sum(),
        }
        for name, count in counts.items():
            flagged = {"metric": "selection_rate", "by": "race", "group": race}
            row = pick(reports[name]["rates"], **flagged)
            assert (row["count"], row["n"]) == (count, n)
        cells = (
            race,
            f"{n:,}",
            with_share(int(counts["openai"]), n),
            with_share(int(counts["openclip"]), n),
            f"{table6.loc['crime-related', race]} %",
        )
        columns = ("race", "n", "OpenAI, 336 pixels", "OpenCLIP, laion400m", "published")
        rows.append(dict(zip(columns, cells, strict=True)))
    assert table(section(PAGE, "Crime").prose) == rows


def claimed_races(report: Row) -> dict[str, bool]:
    """Returns of which races it is claimed that they are put there more often than all, or less."""
    return {
        row["group"]: row["difference"] > 0
        for row in report["differences"]
        if (row["by"], row["metric"], row["comparison"]) == ("race", "selection_rate", "to_overall")
        if row["claim"]
    }


def test_the_claims_are_as_said(reports: dict[str, Row]) -> None:
    less = ["Black", "East Asian", "Indian", "Latino_Hispanic", "Southeast Asian"]
    assert claimed_races(reports["openai"]) == {"White": True, **dict.fromkeys(less, False)}
    openclip = claimed_races(reports["openclip"])
    assert {race for race, more in openclip.items() if more} == {"White", "Middle Eastern"}


def test_the_totals_are_as_said(openai: pd.DataFrame, openclip: pd.DataFrame) -> None:
    text = prose(PAGE)
    crime, suspicious = int(openai[CRIME].to_numpy().sum()), openai["suspicious person"].sum()
    assert f"Of the {crime:,} faces in all, {suspicious:,} are under `suspicious person`" in text
    rates = openai[CRIME].sum(axis="columns") / openai.sum(axis="columns")
    low, *_, high, white = sorted(100 * rates)
    assert f"{white:.1f} % against {low:.1f} to {high:.1f} % of the other races" in text


def test_those_that_are_called_not_human_are_as_said(
    openai: pd.DataFrame, openclip: pd.DataFrame, table6: pd.DataFrame, reports: dict[str, Row]
) -> None:
    text = prose(PAGE)
    assert f"has {table6['Black']['non-human']:.1f} % of Black faces" in text
    n = int(openai.sum(axis="columns")["Black"])
    first, second = (
        int(each[NOT_HUMAN].sum(axis="columns")["Black"]) for each in (openai, openclip)
    )
    assert (
        f"Of the {n:,} that were asked again it is {first} with OpenAI's weights, {share(first, n)}"
        in text
    )
    assert f"and {second} with OpenCLIP's, {share(second, n)}" in text
    totals = [int(each[NOT_HUMAN].to_numpy().sum()) for each in (openai, openclip)]
    assert "of all 10,954 faces {} and {}".format(*totals) in text
    for report, total in zip(("openai", "openclip"), totals, strict=True):
        labels = [f"label:{label}" for label in NOT_HUMAN]
        own = [
            r for r in reports[report]["rates"] if r["metric"] in labels and r["by"] == "overall"
        ]
        assert sum(row["count"] for row in own) == total


def test_the_picture_is_that_of_the_report(reports: dict[str, Row]) -> None:
    shown = (DOCS / "examples" / "twenty-one-labels.svg").read_text(encoding="utf-8")
    assert picture(Results.model_validate(reports["openai"])) == shown
