"""How far groups lie apart over all wordings of a kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from audit.report.blocks import Block, Figure, Heading, paragraph, side_by_side, table
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
        "One wording is a sample of one. The mean gap over all that were tried has an interval "
        "over wordings as well as images, as if these wordings were drawn from many like them; "
        "for exactly these it is narrower. The intervals of all pairs of a sensitive feature hold "
        "together, and claim nothing by themselves. The last column says how much of the variance "
        "of the mean is the wordings'. Here stand "
        f"the widest {_DRAWN} pairs of each kind; all pairs, and each group against all others, "
        "are in ",
        Code("wording_gaps.csv"),
        ".",
    )
    for i, (policy, of_policy) in enumerate(grouped(shown, lambda row: row.policy).items()):
        widest = {
            f"{_KINDS[kind]}, {policy_title(results, policy)}: the widest pairs": _widest(rows)
            for kind, rows in grouped(of_policy, lambda row: row.kind).items()
        }
        yield from side_by_side(_wording_gaps_figures(widest, i))
        for name, rows in widest.items():
            yield table(name, _COLUMNS, map(_wording_gap_cells, rows))


def _widest(rows: Sequence[WordingGap]) -> list[WordingGap]:
    return sorted(rows, key=lambda row: -(row.mean or 0.0))[:_DRAWN]


def _wording_gaps_figures(
    widest: Mapping[str, Sequence[WordingGap]], place: int
) -> Iterator[Figure]:
    for i, (name, rows) in enumerate(widest.items()):
        if drawn := [row for row in rows if row.low is not None]:
            key = f"wording-ranges-{place}-{i}"
            yield Figure(wording_ranges(drawn, key=key, title=name), name)


def _wording_gap_cells(row: WordingGap) -> list[Cell]:
    mean: Line = points_line(row.mean, row.low, row.high)
    beside: Line = ("over ", count(row.wordings), " wordings")
    if row.undefined is not None:
        mean, beside = (points(row.mean),), (Tag(row.undefined, "few"),)
    return [
        head(row.group, Name(f"against {row.reference}"), row.by),
        number(points(row.own)),
        stacked((points(row.lowest), " to ", points(row.highest))),
        stacked(mean, marked_line(beside, row.support)),
        number(*points_line(row.mean, row.images_low, row.images_high)),
        number(percent(row.of_wordings)),
    ]
