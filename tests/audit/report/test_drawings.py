"""Drawings say in words what they show, with all that tie, and write names as they are."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from audit.report.plots.alluvial import alluvial
from audit.report.plots.bars import BarPair, bars
from audit.report.plots.dumbbell import dumbbell
from audit.report.plots.forest import forest
from audit.report.plots.heatmap import heatmap
from audit.report.plots.threshold_curves import threshold_curves
from audit.results.ablation_rows import Ablation, Threshold
from audit.results.rows import Rate, Shift
from moderation.visible_text import lines
from tests.support.page_reader import Page
from tests.support.sample_header import LONG, QUOTES, SCRIPT, support
from tests.support.sample_results import ablation, bounds, flow, shift

#: FairFace's longest names, some that are hostile, and one that reads as SVG.
NAMES = ["Latino_Hispanic", "Southeast Asian", "more than 70", "10-19", "Latino_Hispanic × Female"]
NAMES += [SCRIPT, QUOTES, LONG, 'x="1.2345" id="b" url(#a)', "no\uffffcharacter"]


def _rate(group: str, count: int, n: int = 100) -> Rate:
    value, low, high = bounds(count, n)
    return Rate(
        policy="p", by="race", group=group, metric="selection_rate", count=count, n=n,
        rate=value, low=low, high=high, support=support(n),
    )  # fmt: skip


def _described(svg: str) -> str:
    [found] = Page(svg).all("desc")
    return found.text


def _written(svg: str) -> str:
    """Returns what a drawing writes, without the spaces and breaks between its lines."""
    page = Page(svg)
    return "".join("".join(each.text.split()) for each in page.all("text"))


def _forest(rates: list[Rate]) -> str:
    whole = [_rate("overall", 9, 700)]
    return forest(rates, whole, {"p": "P"}, highest=0.5, key="k", title="t")


def _changed(name: str, net: float) -> Ablation:
    row = ablation("with", "a-b", "race", name, 100, 0)
    return row.model_copy(update={"net": net})


def test_a_forest_names_all_groups_of_the_highest_and_the_lowest_rate() -> None:
    rates = [_rate("Black", 3), _rate("10-19", 1), _rate("Indian", 3), _rate("few", 9, 12)]
    assert _described(_forest(rates)) == (
        "P: overall 9 of 700, 1.29 percent; highest: Black, Indian (each 3 of 100, 3.00 percent); "
        "lowest: 10-19 (1 of 100, 1.00 percent). The table beside it holds every number."
    )
    several_sizes = _described(_forest([_rate("a", 3), _rate("b", 6, 200), _rate("c", 1)]))
    assert "highest: a (3 of 100), b (6 of 200), each 3.00 percent; lowest: c (1" in several_sizes
    same = _described(_forest([_rate("a", 0), _rate("b", 0)]))
    assert "the same rate in each: a, b (each 0 of 100, 0.00 percent)" in same
    many = _described(_forest([_rate(str(i), 0) for i in range(20)] + [_rate("x", 1)]))
    assert "lowest: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 8 more (each 0 of 100" in many


def test_a_heat_map_names_ties_and_counts_cells_without_a_rate() -> None:
    rates = [_rate("a × x", 3), _rate("a × y", 3), _rate("b × x", 1), _rate("b × y", 1, 12)]
    svg = heatmap(rates, 0.1, key="k", title="t")
    assert _described(svg) == (
        "Highest: a × x, a × y (each 3 of 100, 3.00 percent); lowest: b × x (1 of 100, 1.00 "
        "percent). 1 cell has too few images to show a rate."
    )


def test_a_bar_names_all_groups_that_a_change_moves_most() -> None:
    groups = [_changed("Black", 0.02), _changed("10-19", 0.02), _changed("White", -0.02)]
    svg = bars([BarPair(_changed("overall", -0.0114), groups)], key="k", title="t")
    assert _described(svg) == (
        "a-b: overall −1.14 points, most for Black, 10-19 (each +2.00) and White (−2.00)."
    )
    assert "Blackand2more" in _written(svg)


def test_a_cell_with_few_images_is_a_quiet_dash_and_an_indicative_one_in_brackets() -> None:
    rates = [
        _rate("a × x", 26),
        _rate("a × y", 13, 50),
        _rate("b × x", 1, 12),
        _rate("b × y", 0, 9),
    ]
    svg = heatmap(rates, 0.3, key="k", title="t")
    written = _written(svg)
    assert "<pattern" not in svg
    assert "°" not in written
    assert "26.0(26.0)––" in written
    assert "(inbrackets):indicative,n<100" in written
    assert "–:toofewforarate,n<30" in written


def _threshold(group: str) -> Threshold:
    fields = _rate(group, 9).model_dump(exclude={"metric"})
    return Threshold(**fields, threshold=0.5)


def _shift(group: str) -> Shift:
    return shift("race", group, 200, matched=False)


DRAWN: dict[str, Callable[[list[str]], str]] = {
    "forest": lambda names: _forest([_rate(name, 3) for name in names]),
    "heatmap": lambda names: heatmap(
        [_rate(f"{name} × {other}", 3) for name in names for other in ("Female", "Male")],
        0.1, key="k", title="t",
    ),
    "dumbbell": lambda names: dumbbell(
        [_shift(name) for name in names], before="a", after="b", key="k", title="t"
    ),
    "bars": lambda names: bars(
        [BarPair(_changed("overall", 0.1), [_changed(name, 0.2)]) for name in names],
        key="k", title="t",
    ),
    "thresholds": lambda names: threshold_curves(
        [_threshold(name) for name in names], [_threshold("overall")], key="k", title="t"
    ),
    "alluvial": lambda names: alluvial(
        [flow("label", name, "man", 9) for name in names], before="a", after="b", key="k", title="t"
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(DRAWN))
def test_a_drawing_writes_every_name_in_full(kind: str) -> None:
    names = [name for name in NAMES if kind != "heatmap" or "×" not in name]
    svg = DRAWN[kind](names)
    written = _written(svg)
    assert "…" not in written
    for name in names:
        assert "".join(lines(name).split()) in written


def test_a_name_that_no_plot_holds_is_cut_after_four_lines() -> None:
    written = _written(_forest([_rate("long " * 60, 3), _rate("b", 3)]))
    assert written.count("long") == 11 or written.count("long") == 12
    assert "…" in written


@pytest.mark.parametrize("kind", list(DRAWN))
def test_a_drawing_repeats_neither_fonts_nor_digits(kind: str) -> None:
    svg = DRAWN[kind](["Black", "White"])
    assert svg.count("font-family") == 1
    drawn: list[dict[str, Any]] = [each.attributes for each in Page(svg).elements[3:]]
    assert not [each for each in drawn if re.search(r"\d\.\d\d", each.get("d", ""))]
    assert all(each.get("style") != "fill:none" for each in drawn)


def test_a_dumbbell_says_what_is_counted() -> None:
    flagged, resembling = _shift("a"), _shift("a").model_copy(update={"metric": "label:man"})
    called = {"before": "x", "after": "y", "key": "k", "title": "t"}
    assert "%flagged;" in _written(dumbbell([flagged], **called))
    assert "%resemblingit;" in _written(dumbbell([resembling], **called))
    wrong = flagged.model_copy(update={"metric": "misclassification_rate"})
    assert "%misclassified;" in _written(dumbbell([wrong], **called))


def test_the_ring_of_a_rate_of_nothing_is_drawn_whole() -> None:
    row = _shift("a").model_copy(update={"before": 0.0, "after": 0.2})
    svg = dumbbell([row], before="x", after="y", key="k", title="t")
    assert "stroke:#0072b2" in svg
    assert not re.search(r"<g [^>]*clip-path[^>]*>\s*<use", svg)
