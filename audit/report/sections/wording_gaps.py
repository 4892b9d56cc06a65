"""How far groups lie apart over all wordings of a kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from audit.report.blocks import Block, Figure, Heading, Table, paragraph, side_by_side, table
from audit.report.cells import Cell, head, marked_line, number, stacked
from audit.report.grouping import grouped
from audit.report.inline import Code, Line, Name, Tag
from audit.report.names import policy_title
from audit.report.plots.wording_ranges import wording_ranges
from audit.report.shown_numbers import count, percent, points, points_line
from audit.results.ablation_rows import WordingGap
from audit.results.results import Results

#: How many pairs of groups a figure and its table show; the CSV file holds all.
_DRAWN = 6

_KINDS = {
    "template": "Gaps over templates",
    "article": "Gaps over articles",
    "synonym": "Gaps over other words for labels",
}

_COLUMNS = (
    *("Groups", "Own wording", "With one wording", "Mean gap, points", "For these wordings alone"),
    "Wordings' part",
)


def wording_gaps_section(results: Results) -> Iterator[Block]:
    """Yields the widest mean gaps over the wordings of each kind, for each policy."""
    shown = [
        row
        for row in results.wording_gaps
        if row.comparison == "between_groups" and row.support != "suppressed" and row.mean
    ]
    if not shown:
        return
    yield Heading("Gaps between groups over all wordings")
    yield paragraph(
        "One wording is a sample of one: as many as were tried say how far a gap moves with the "
        "wording. The mean gap has an interval over wordings as well as images, as if the tried "
        "wordings were drawn from many like them; for these wordings alone it is narrower. All "
        "pairs of a sensitive feature hold together. The last column says how much of the "
        "variance of the mean is the wordings'. The interval claims nothing by itself. Here stand "
        f"the widest {_DRAWN} pairs of each kind; all pairs, and each group against all others, "
        "are in ",
        Code("wording_gaps.csv"),
        ".",
    )
    for i, (policy, of_policy) in enumerate(grouped(shown, lambda row: row.policy).items()):
        for kind, rows in grouped(of_policy, lambda row: row.kind).items():
            name = f"{_KINDS[kind]}, {policy_title(results, policy)}"
            widest = sorted(rows, key=lambda row: -(row.mean or 0.0))[:_DRAWN]
            svg = wording_ranges(widest, key=f"wording-ranges-{kind}-{i}", title=name)
            yield from side_by_side([Figure(svg, f"{name}: the widest pairs")])
            yield _wording_gaps_table(f"{name}: the widest pairs", widest)


def _wording_gaps_table(caption: str, rows: Sequence[WordingGap]) -> Table:
    return table(caption, _COLUMNS, map(_wording_gap_cells, rows))


def _wording_gap_cells(row: WordingGap) -> list[Cell]:
    mean: Line = points_line(row.mean, row.low, row.high)
    beside: Line = ("over ", count(row.wordings), " wordings")
    if row.undefined is not None:
        mean, beside = (points(row.mean),), (Tag(row.undefined, "few"),)
    return [
        head(row.group, Name(f"against {row.reference}")),
        number(points(row.own)),
        stacked((points(row.lowest), " to ", points(row.highest))),
        stacked(mean, marked_line(beside, row.support)),
        number(*points_line(row.mean, row.images_low, row.images_high)),
        number(percent(row.of_wordings)),
    ]
