"""What a reader meets first, and can tell apart: findings before metadata, code, colours."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl
import pytest

from audit.report import write_report
from audit.report.blocks import Paragraph, Table, folded, table
from audit.report.cells import claim_cell, number
from audit.report.plots import canvas, heatmap
from tests.support.page_reader import Page
from tests.support.sample_header import label
from tests.support.sample_results import HEADER_ALONE, SAMPLES


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the report of one comparison."""
    folder = tmp_path_factory.mktemp("compared")
    write_report(SAMPLES["compare"], folder)
    return folder


def test_what_was_compared_and_how_stands_after_all_findings(compared: Path) -> None:
    page = Page((compared / "report.html").read_text())
    # Those of sections have a number; those of the opening and the contents have none.
    numbered = [each.text.split(" ", 1) for each in page.all("h2") if each.text[:1].isdigit()]
    titles = [title for _, title in numbered]
    assert titles[:2] == ["What was left out", "Who is flagged"]
    findings = ["What changed for whom", "The price of new labels", "What this audit cannot say"]
    metadata = ["What was compared", "How this report was made"]
    assert max(map(titles.index, findings)) < min(map(titles.index, metadata))
    markdown = (compared / "report.md").read_text()
    assert markdown.index("Who is flagged") < markdown.index("How this report was made")


def test_of_many_labels_only_those_that_differ_are_not_folded(tmp_path: Path) -> None:
    results = SAMPLES["compare"]
    first, second = results.header.policies
    shared = tuple(label(f"label {i}", 0.5) for i in range(20))
    policies = (
        first.model_copy(update={"labels": shared}),
        second.model_copy(update={"labels": (*shared[1:], label("new", None))}),
    )
    header = results.header.model_copy(update={"policies": policies})
    write_report(results.model_copy(update={"header": header}), tmp_path)
    page = Page((tmp_path / "report.html").read_text())
    tables = page.all("table")
    [differing] = [each for each in tables if "Labels that differ" in each.text]
    [every] = [each for each in tables if "Labels with their action" in each.text]
    inside = [each for each in page.all("th") if differing in each.path]
    assert [each.text for each in inside if each.attributes["scope"] == "row"] == ["label 0", "new"]
    assert "details" in {each.tag for each in every.path}
    assert "details" not in {each.tag for each in differing.path}
    assert "| label 19 |" in (tmp_path / "report.md").read_text()  # which has no folds


def test_what_stands_in_backticks_is_code_in_every_format(tmp_path: Path) -> None:
    said = {
        "summary": ("First.", "Chosen among 3, `without x*` lowers the flags."),
        "not_tried": ("weapons: `template {}.` changes nothing",),
        "insufficient": ("`a` is small",),
        "limits": ("Mind `<b>`.", "Of a`b, and not of c`d, (`audit ablate x.yaml`) says more."),
    }
    write_report(HEADER_ALONE.model_copy(update=said), tmp_path)
    page = Page((tmp_path / "report.html").read_text())
    code = {each.text for each in page.all("code")}
    assert {"without x*", "template {}.", "a", "<b>"} <= code
    assert "audit ablate x.yaml" in code
    kept = [text for path, text in page.texts if path and path[-1].tag == "li" and "`" in text]
    assert kept == ["Of a`b, and not of c`d, ("]  # the names have their own
    markdown = (tmp_path / "report.md").read_text()
    for line in ("- Chosen among 3, `without x*` lowers", "- weapons: `template {}.`", "`<b>`."):
        assert line in markdown


def _contrast(one: str, other: str) -> float:
    """Returns the contrast of two colours by WCAG 2.2."""

    def luminance(colour: str) -> float:
        parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_every_text_stands_out_from_what_is_behind_it(compared: Path) -> None:
    style = (compared / "report.html").read_text()
    themes = [dict(re.findall(r"--([\w-]+): (#\w{6})", each))
              for each in re.findall(r":root \{(.*?)\}", style, re.S)]  # fmt: skip
    assert len(themes) == 3  # light, dark, printed
    for theme in themes:
        behind = [theme["paper"], theme["tint"]]
        inks = [theme[name] for name in ("ink", "quiet", "accent", "claim", "few", "good")]
        pairs = [(ink, paper) for ink in inks for paper in behind]
        pairs.append((theme["claim"], theme["claim-tint"]))
        assert [pair for pair in pairs if _contrast(*pair) < 4.5] == []
    assert _contrast(canvas.GREY, "#f6f7f8") >= 4.5
    deepest = mpl.colors.to_hex(mpl.colormaps["Blues"](heatmap._DEEPEST))
    assert _contrast(canvas.INK, deepest) >= 4.5


def test_what_was_left_out_is_shown_by_group_before_any_figure(compared: Path) -> None:
    page = Page((compared / "report.html").read_text())
    [shown] = [each for each in page.all("table") if "Images left out" in each.text]
    assert shown is page.all("table")[0]
    for text in ("Black", "40", "1,556", "unknown", "not known"):
        assert text in shown.text
    said = "45 of 4,413 (1.0 %) images were left out"
    assert said in page.all("body")[0].text
    markdown = (compared / "report.md").read_text()
    assert said in markdown
    assert markdown.index("Images left out, by group") < markdown.index("Who is flagged")


def test_a_long_folded_table_shows_what_stands_and_leaves_the_rest_to_the_csv_files() -> None:
    few, stands = [number("1", tone="few")], [claim_cell(True, "full")]
    rows = [few] * 50 + [[number(str(i))] for i in range(40)] + [stands] * 2
    fold = folded(table("Many", ("n",), rows))
    note, shown = fold.blocks
    assert isinstance(note, Paragraph)
    assert isinstance(shown, Table)
    assert note.parts[0] == (
        "60 of 92 rows: what stands comes first, and rows with too few images last. The CSV files "
        "hold all."
    )
    assert [list(row) for row in shown.rows] == [stands] * 2 + rows[50:90] + [few] * 18
    assert folded(table("Few", ("n",), rows[:60])).blocks == (table("Few", ("n",), rows[:60]),)


def test_what_the_file_of_a_policy_says_of_itself_is_there_in_full(compared: Path) -> None:
    page = Page((compared / "report.html").read_text())
    folds = [each for each in page.all("details") if "says of itself" in each.text]
    assert len(folds) == len(SAMPLES["compare"].header.policies)
    assert all("It cannot: see anything." in each.text for each in folds)
