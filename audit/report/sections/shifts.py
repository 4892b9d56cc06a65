"""What changed for whom from one label set to another, on the same images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from audit.datasets.dataset import OVERALL
from audit.metrics.rates import FLAG
from audit.report.document import (
    Block,
    Cell,
    Figure,
    Heading,
    Table,
    folded,
    number,
    paragraph,
    side_by_side,
    stacked,
    table,
    withheld,
)
from audit.report.names import grouped, is_crossed, metric_name, page_metrics, singles, title
from audit.report.plots.dumbbell import dumbbell
from audit.report.shown import (
    claim_cell,
    count,
    few_tone,
    group_head,
    of,
    p_value,
    points_line,
    rate_line,
)
from audit.results.results import Results
from audit.results.rows import Flow, Price, Shift

#: More pairs of policies than this are shown only against the first policy.
_MANY_PAIRS = 3

_COLUMNS = (
    *("Group", "Before", "After", "Entered", "Left"),
    *("Net, points", "Adjusted p", "Claim"),
)

Pair = tuple[str, str]
Paired = TypeVar("Paired", Shift, Flow, Price)


def shifts(results: Results) -> Iterator[Block]:
    """Yields the paired shifts under the policies' own thresholds."""
    if rows := [row for row in results.shifts if not row.matched]:
        yield paragraph(
            "Entered: images that only the second label set flags. Left: images that only the "
            "first flags. Net: entered less left, as a share of the group; to the rest: less "
            "the net of all other images. p is McNemar's exact test, corrected by Holm over "
            "the groups of a sensitive feature."
        )
        yield from _pairs(results, rows, "shift")
    yield from _agreements(results)


def matched_shifts(results: Results) -> Iterator[Block]:
    """Yields the shifts at one overall flag rate: whom the policies flag, not how many."""
    if rows := [row for row in results.shifts if row.matched]:
        yield paragraph(
            "A threshold does not carry over between label sets of different size. Here all "
            "thresholds of the second are moved together until it flags as many images as the "
            "first. What is left is whom it flags, not how many."
        )
        yield from _pairs(results, rows, "matched")


def by_pair(results: Results, rows: Sequence[Paired]) -> dict[Pair, list[Paired]]:
    """Returns the rows of each pair of policies that the page shows; the CSV files hold all."""
    pairs = grouped(rows, lambda row: (row.before_policy, row.after_policy))
    if len(pairs) <= _MANY_PAIRS:
        return pairs
    first = results.header.policies[0].name
    return {pair: own for pair, own in pairs.items() if pair[0] == first}


def pair_title(results: Results, pair: Pair) -> str:
    """Returns what a heading calls a pair of policies."""
    return f"From {title(results, pair[0])} to {title(results, pair[1])}"


def _pairs(results: Results, rows: Sequence[Shift], key: str) -> Iterator[Block]:
    for i, (pair, own) in enumerate(by_pair(results, rows).items()):
        yield Heading(pair_title(results, pair))
        yield from _pair(results, pair, own, f"{key}-{i}")


def _pair(results: Results, pair: Pair, rows: Sequence[Shift], key: str) -> Iterator[Block]:
    flags = [row for row in rows if row.metric == FLAG]
    yield from side_by_side(_dumbbells(results, pair, flags, key))
    if main := [row for row in flags if not is_crossed(row.by)]:
        yield _table("Share flagged: overall and by sensitive feature", main)
    if crossed := [row for row in flags if is_crossed(row.by)]:
        yield folded(_table("Share flagged by intersection", crossed), "By intersection")
    metrics = page_metrics(results, (row.metric for row in rows if row.metric != FLAG))
    moved = [row for row in rows if row.metric in metrics and row.entered + row.left]
    if others := [row for row in moved if row.metric != FLAG and not is_crossed(row.by)]:
        yield folded(_table("Other rates that moved: overall and by sensitive feature", others))


def _dumbbells(results: Results, pair: Pair, flags: Sequence[Shift], key: str) -> Iterator[Figure]:
    before, after = (title(results, name) for name in pair)
    for i, by in enumerate(singles(row.by for row in flags)):
        own = [row for row in flags if row.by in (by, OVERALL)]
        name = f"Share flagged by {by}, before and after"
        svg = dumbbell(own, before=before, after=after, key=f"{key}-{i}", title=name)
        yield Figure(svg, f"{name}. A star marks a shift that stands.")


def _table(caption: str, rows: Sequence[Shift]) -> Table:
    return table(caption, _COLUMNS, map(_row, rows))


def _row(row: Shift) -> list[Cell]:
    rate = () if row.metric == FLAG else (metric_name(row.metric),)
    tone = few_tone(row.support)
    before, after = of(row.before_count, row.n), of(row.after_count, row.n)
    shares = [number(*before, tone=tone), number(*after, tone=tone)]
    nets = [withheld(), withheld()]
    if not tone:
        to_rest = points_line(row.net_to_rest, row.net_to_rest_low, row.net_to_rest_high)
        shares = [
            stacked(rate_line(row.before, row.before_low, row.before_high), before),
            stacked(rate_line(row.after, row.after_low, row.after_high), after),
        ]
        nets = [
            stacked(
                points_line(row.net, row.net_low, row.net_high),
                () if row.by == OVERALL else ("to the rest ", *to_rest),
            ),
            number(p_value(row.p_adjusted)),
        ]
    return [
        group_head(row.by, row.group, *rate),
        *shares,
        number(count(row.entered), tone=tone),
        number(count(row.left), tone=tone),
        *nets,
        claim_cell(row.claim, row.support),
    ]


def _agreements(results: Results) -> Iterator[Block]:
    shown = [r for r in results.agreements if r.metric == FLAG and not is_crossed(r.by)]
    if not shown:
        return
    yield Heading("Do all label sets flag alike?")
    yield paragraph("Cochran's Q over all label sets; with two of them it is McNemar's test.")
    cells = [
        [
            group_head(row.by, row.group),
            number(*of(row.changing, row.n)),
            *(
                withheld() if few_tone(row.support) else number(p_value(p))
                for p in (row.p, row.p_adjusted)
            ),
        ]
        for row in shown
    ]
    yield table("Cochran's Q", ("Group", "Flagged by some, not all", "p", "Adjusted p"), cells)
