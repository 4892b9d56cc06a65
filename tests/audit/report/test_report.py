"""Reports: no name becomes markup, and the files are exact."""

from __future__ import annotations

import csv
import json
import re
from itertools import pairwise
from pathlib import Path

import jsonschema
import matplotlib as mpl
import pytest

from audit.datasets.dataset import OVERALL
from audit.report import write_report
from audit.report.names import group_name
from audit.report.plots import canvas, heatmap
from audit.report.shown_numbers import minus, p_value, points, ratio
from audit.results.formatting import escaped
from audit.results.results import Results
from moderation.visible_text import lines
from tests.support.page_reader import Page
from tests.support.sample_header import FORMULA, SCRIPT, label
from tests.support.sample_results import HEADER_ALONE, SAMPLES

EVERY_SAMPLE = {**SAMPLES, "nothing but a header": HEADER_ALONE}
BANNED = ("unbiased", "debias", "fair model", "no bias", "alike")


@pytest.fixture(scope="module", params=list(EVERY_SAMPLE))
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of each sample's report."""
    folder = tmp_path_factory.mktemp("report") / "new" / "folder"
    write_report(EVERY_SAMPLE[request.param], folder)
    return folder


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the report of one comparison."""
    folder = tmp_path_factory.mktemp("compared")
    write_report(SAMPLES["compare"], folder)
    return folder


@pytest.fixture(scope="module")
def html(written: Path) -> str:
    return (written / "report.html").read_text()


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_the_page_is_well_formed_and_repeats_no_id(page: Page) -> None:
    ids = [each.attributes["id"] for each in page.elements if "id" in each.attributes]
    assert len(ids) == len(set(ids))
    targets = [
        value[1:]
        for each in page.elements
        for name, value in each.attributes.items()
        if name == "href"
    ]
    assert set(targets) <= set(ids)
    used = set(re.findall(r"url\(#([^)]+)\)", " ".join(str(e.attributes) for e in page.elements)))
    assert used <= set(ids)


def test_headings_are_in_order_and_the_first_is_alone(page: Page) -> None:
    levels = [int(each.tag[1]) for each in page.elements if re.fullmatch(r"h[1-6]", each.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))


def test_each_drawing_and_table_says_what_it_is(page: Page) -> None:
    for svg in page.all("svg"):
        inside = [each for each in page.elements if svg in each.path]
        named = {each.attributes.get("id") for each in inside if each.tag in ("title", "desc")}
        assert svg.attributes["role"] == "img"
        assert set(svg.attributes["aria-labelledby"].split()) == named
        assert all(each.text.strip() for each in inside if each.tag in ("title", "desc"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all("scope" in each.attributes for each in page.all("th"))
    assert page.all("html")[0].attributes["lang"] == "en"


def test_nothing_in_the_page_runs_or_comes_from_elsewhere(page: Page, html: str) -> None:
    assert not {"script", "img", "image", "link", "iframe", "object"} & {
        element.tag for element in page.elements
    }
    assert "<script" not in html
    for element in page.elements:
        for name, value in element.attributes.items():
            assert not name.startswith("on")
            assert "http" not in value or name in ("aria-label",)
            assert name not in ("src", "srcset", "xlink:href")
    assert "url(http" not in html
    assert "@import" not in html


def test_what_was_compared_and_how_stands_after_all_findings(compared: Path) -> None:
    page = Page((compared / "report.html").read_text())
    titles = [each.text.split(" ", 1)[1] for each in page.all("h2")[1:]]  # after the contents
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


def test_what_stands_in_backticks_is_code_in_every_format(tmp_path: Path) -> None:
    said = {
        "summary": ("First.", "Chosen among 3, `without x*` lowers the flags."),
        "not_tried": ("weapons: `template {}.` changes nothing",),
        "insufficient": ("`a` is small",),
        "limits": ("Mind `<b>`.",),
    }
    write_report(HEADER_ALONE.model_copy(update=said), tmp_path)
    page = Page((tmp_path / "report.html").read_text())
    code = {each.text for each in page.all("code")}
    assert {"without x*", "template {}.", "a", "<b>"} <= code
    assert not any("`" in text for path, text in page.texts if path and path[-1].tag == "li")
    markdown = (tmp_path / "report.md").read_text()
    for line in ("- Chosen among 3, `without x*` lowers", "- weapons: `template {}.`", "`<b>`."):
        assert line in markdown


def test_the_page_begins_with_the_finding(page: Page) -> None:
    paragraphs = [each for each in page.all("p") if each.attributes.get("class") != "kicker"]
    assert paragraphs[0].text in {lines(sample.summary[0]) for sample in EVERY_SAMPLE.values()}


def test_no_word_promises_what_no_audit_shows(written: Path) -> None:
    for name in ("report.html", "report.md"):
        text = (written / name).read_text().lower()
        assert [word for word in BANNED if word in text] == []


def test_a_claim_stands_beside_the_p_that_makes_it(compared: Path) -> None:
    text = (compared / "report.md").read_text().replace("\u00a0", " ")
    assert "| 0.0004; in its family &lt; 0.0001 | **stands** |" in text  # shifts
    assert "| 0.042; in its family 0.032 | **stands** |" in text  # differences


def test_groups_that_tie_are_not_shown_as_the_only_one(tmp_path: Path) -> None:
    [gap, *_] = SAMPLES["compare"].gaps
    rates = [
        rate.model_copy(update={"count": gap.best_count, "n": gap.best_n})
        if (rate.policy, rate.by, rate.metric) == (gap.policy, gap.by, gap.metric)
        and rate.group not in (gap.worst, gap.best)
        else rate
        for rate in SAMPLES["compare"].rates
    ]
    results = SAMPLES["compare"].model_copy(update={"rates": tuple(rates)})
    write_report(results, tmp_path)
    [row, *_] = re.findall(rf"^\| {gap.by} \|.*$", (tmp_path / "report.md").read_text(), re.M)
    assert f"{gap.best}; {gap.best_count} of {gap.best_n:,}; and 2 more at that rate" in row
    assert row.count("more at that rate") == 1


def test_the_images_that_rates_are_compared_on_are_shown(compared: Path) -> None:
    text = (compared / "report.md").read_text()
    assert "| False positive rate | B: person-labels &lt;child&gt; | 900 | 901 | 1 |" in text


def test_results_json_is_of_its_schema_and_reads_back(written: Path) -> None:
    text = (written / "results.json").read_text()
    jsonschema.validate(json.loads(text), Results.model_json_schema())
    assert Results.model_validate_json(text) in EVERY_SAMPLE.values()


@pytest.mark.slow
@pytest.mark.parametrize("name", list(EVERY_SAMPLE))
def test_equal_results_give_equal_bytes(name: str, tmp_path: Path) -> None:
    again = Results.model_validate_json(EVERY_SAMPLE[name].to_json())
    one, two = write_report(EVERY_SAMPLE[name], tmp_path / "a"), write_report(again, tmp_path / "b")
    assert [path.name for path in one] == [path.name for path in two]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_a_report_replaces_an_older_one_and_leaves_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    paths = write_report(HEADER_ALONE, tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert "old" not in (tmp_path / "report.html").read_text()[:3]


def test_a_file_that_cannot_be_replaced_leaves_no_half(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(IsADirectoryError):
        write_report(HEADER_ALONE, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_each_table_with_rows_has_a_csv_file_of_all_its_rows(compared: Path) -> None:
    results = SAMPLES["compare"]
    names = {path.name for path in compared.iterdir()}
    assert {"rates.csv", "differences.csv", "shifts.csv", "flows.csv", "prices.csv"} <= names
    assert "ablations.csv" not in names
    with (compared / "rates.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(results.rates)
    assert float(rows[0]["rate"]) == results.rates[0].rate
    undefined = [row for row, rate in zip(rows, results.rates, strict=True) if rate.rate is None]
    assert undefined
    assert {row["rate"] for row in undefined} == {""}


def test_no_text_of_a_csv_file_is_a_formula(compared: Path) -> None:
    with (compared / "shifts.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert f"'{FORMULA}" in {row["group"] for row in rows}
    assert any(row["net"].startswith("-") for row in rows)


def test_names_of_a_dataset_are_text_in_the_page(compared: Path) -> None:
    page = Page((compared / "report.html").read_text())
    heads = [each.text for each in page.all("th")]
    assert any(SCRIPT in text for text in heads)
    assert any("\"quoted\" & 'single' | `code` $x$" in text for text in heads)
    assert "\x07" not in "".join(heads)


def test_markdown_tables_have_one_width_and_hold_no_html(written: Path) -> None:
    text = (written / "report.md").read_text()
    outside = re.sub(r"`+[^`\n]*`+", "", text)
    assert not re.search(r"<[a-z/!]", outside)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table[:200]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", "a\\|b"),
        ("`x` *y* _z_", "\\`x\\` \\*y\\* \\_z\\_"),
        ("<b> & @you", "&lt;b&gt; &amp; &#64;you"),
        ("# no heading", "\\# no heading"),
        ("[x](y) {} (z)", "\\[x](y) {} (z)"),
        ("- no list", "\\- no list"),
        ("1. no list", "1\\. no list"),
        ("two\nlines", "two lines"),
        ("http://a.b www.a.b", "http&#58;//a.b www&#46;a.b"),
    ],
)
def test_markdown_shows_a_text_as_it_is(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_suppressed_cells_show_count_and_n_and_no_rate(compared: Path) -> None:
    page = Page((compared / "report.html").read_text())
    marked = [
        each
        for each in page.all("td")
        if "few" in each.attributes["class"].split() and "too few (n < 30)" in each.text
    ]
    assert marked
    assert not any("%" in each.text for each in marked)


def test_a_group_may_be_called_what_the_whole_is_called() -> None:
    assert group_name("race", OVERALL) == OVERALL
    assert group_name(OVERALL, OVERALL) == "All images"


def test_numbers_are_shown_as_their_kind() -> None:
    assert points(-0.0115).text == "−1.15"
    assert points(0.0).text == "0.00"
    assert points(-0.000001).text == "0.00"
    assert points(None).text == "undefined"
    assert ratio(1.8444).text == "1.84"
    assert p_value(0.00000001).text == "<\u00a00.0001"
    assert p_value(0.0).raw == 0.0
    assert minus("-0.000") == "0.000"


def test_adjusted_p_is_the_one_of_the_whole_report_wherever_it_stands(compared: Path) -> None:
    tables = Page((compared / "report.html").read_text()).all("table")
    [agreements] = [each for each in tables if "Cochran's Q" in each.text]
    assert "p in its family" in agreements.text
    assert "Adjusted p" not in agreements.text  # that one is adjusted over the whole report


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
