"""Reports: no name becomes markup, and the files are exact."""

from __future__ import annotations

import csv
import json
import re
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest

from audit.datasets.groups import OVERALL
from audit.report import write_report
from audit.report.names import group_name
from audit.report.shown_numbers import minus, p_value, points, ratio
from audit.results.formatting import escaped
from audit.results.results import Results
from moderation.visible_text import lines
from tests.support.page_reader import Page
from tests.support.sample_header import FORMULA, SCRIPT
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


def test_the_page_begins_with_the_finding(page: Page) -> None:
    paragraphs = [each for each in page.all("p") if each.attributes.get("class") != "kicker"]
    said = {lines(sample.headline.finding) for sample in EVERY_SAMPLE.values()}
    assert paragraphs[0].text in {text.replace("`", "") for text in said}


def test_no_word_promises_what_no_audit_shows(written: Path) -> None:
    for name in ("report.html", "report.md"):
        text = (written / name).read_text().lower()
        assert [word for word in BANNED if word in text] == []


def test_a_claim_stands_beside_the_p_that_makes_it(compared: Path) -> None:
    text = (compared / "report.md").read_text().replace("\u00a0", " ")
    assert "| 0.0004; in its family &lt; 0.0001 | **stands** |" in text  # shifts
    assert "| 0.042; in its family 0.032 | **stands** |" in text  # differences


def test_a_gap_over_wordings_has_its_interval_or_why_it_has_none(tmp_path: Path) -> None:
    write_report(SAMPLES["ablate"], tmp_path)
    text = (tmp_path / "report.md").read_text().replace("\u00a0", " ")
    assert "+5.60 \\[−1.23, +9.87]; over 9 wordings |" in text
    assert "| +5.60; _fewer than 3 wordings_ |" in text
    # Only what has an interval over wordings is drawn.
    drawn = re.findall(
        r'<desc id="wording-ranges-[^>]*>([^<]*)', (tmp_path / "report.html").read_text()
    )
    assert len(drawn) == 1
    assert "5.6 points on average, interval −1.2 to 9.9, −1.9 to 11.3 with one wording" in drawn[0]
    assert "wording_gaps.csv" in text
    assert (tmp_path / "wording_gaps.csv").is_file()


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


def test_cells_of_few_images_are_shown_pooled_and_marked(compared: Path) -> None:
    page = Page((compared / "report.html").read_text())
    [pooled] = [each for each in page.all("table") if "in years, pooled" in each.text]
    rows = [row for row in SAMPLES["compare"].pooled if row.support == "suppressed"]
    assert rows
    assert pooled.text.count("n < 30, mostly borrowed") == len(rows)
    assert pooled.text.count("12.4\u00a0%") == len(SAMPLES["compare"].pooled)


def test_what_is_shown_of_a_margin_is_said_in_words(compared: Path) -> None:
    text = (compared / "report.md").read_text().replace("\u00a0", " ")
    answers = text[text.index("Shown to be within the margin") :]
    for said in ("**within** 5 points |", "**differs**, and is within 5 points |", "**differs** |"):
        assert said in answers
    assert re.search(r"not shown \| not shown \| neither; _too few_ \|", answers)


def test_a_standardised_rate_stands_beside_the_one_that_was_counted(compared: Path) -> None:
    text = (compared / "report.md").read_text().replace("\u00a0", " ")
    assert "4 of 5 strata, 4,355 of 4,368 images, without" in text
    row = "| White; race | 11.1 % \\[10.0, 12.0]; 231 of 2,085 | 10.0 % \\[9.0, 11.3]; n 2,084 |"
    assert f"{row} +2.10 \\[+1.00, +3.30] | +0.30 \\[−1.10, +1.70] | undefined |" in text


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


def test_scores_against_the_truth_and_how_far_claims_hold_are_shown(compared: Path) -> None:
    page = Page((compared / "report.html").read_text())
    tables = [" ".join(each.text.split()) for each in page.all("table")]

    def shown(caption: str) -> str:
        return next(text for text in tables if caption in text)

    separates = shown("How well scores separate, A: person-labels")
    assert "0.913 [0.871, 0.944]" in separates
    assert "too few (n < 30)" in separates
    calibrated = shown("Scores against the share that should be flagged, A: person-labels")
    assert "+2.17 [−0.51, +4.81]" in calibrated
    noise = shown("How many wrong annotations each claim bears")
    for said in ("23 of 141", "the truth", "97.4 %", "487 of 500", "Stands with 20 % replaced"):
        assert said in noise
    assert "130 of 610" in shown("Each claim where near-duplicates count once")
    markdown = (compared / "report.md").read_text()
    assert "at a cosine of 0.97 or nearer, make 87 clusters of 218 of 4,368 images" in markdown
