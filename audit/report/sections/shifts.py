"""What changed for whom from one label set to another, on the same images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from audit.report.document import (
    Block,
    Cell,
    Figure,
    Figures,
    Fold,
    Heading,
    head,
    number,
    paragraph,
    table,
    withheld,
)
from audit.report.names import (
    FLAG,
    OVERALL,
    distinct,
    metric_name,
    page_metrics,
    singles,
    title,
)
from audit.report.plots.dumbbell import dumbbell
from audit.report.shown import claim_cell, count, of, p_value, points_line, rate_line
from audit.results.results import Results
from audit.results.rows import Agreement, Shift

#: More pairs of policies than this are shown only against the first policy.
_MANY_PAIRS = 3

Pair = tuple[str, str]


def shifts(results: Results) -> tuple[Block, ...]:
    """Returns the paired shifts under the policies' own thresholds."""
    blocks: list[Block] = []
    if rows := [row for row in results.shifts if not row.matched]:
        blocks.append(
            paragraph(
                "Entered: images that only the second label set flags. Left: images that only the "
                "first flags. Net: entered less left, as a share of the group; to the rest: less "
                "the net of all other images. p is McNemar's exact test, corrected by Holm over "
                "the groups of a feature."
            )
        )
        blocks += _pairs(results, rows, "shift")
    blocks += _agreements(results)
    return tuple(blocks)


def matched_shifts(results: Results) -> tuple[Block, ...]:
    """Returns the shifts at one overall flag rate: whom the policies flag, not how many."""
    rows = [row for row in results.shifts if row.matched]
    if not rows:
        return ()
    told = paragraph(
        "A threshold does not carry over between label sets of different size. Here all thresholds "
        "of the second are moved together until it flags as many images as the first. What is left "
        "is whom it flags, not how many."
    )
    return (told, *_pairs(results, rows, "matched"))


def shown_pairs(results: Results, pairs: Iterable[Pair]) -> list[Pair]:
    """Returns the pairs of policies that the page shows; the CSV files hold all of them."""
    every = distinct(pairs)
    if len(every) <= _MANY_PAIRS:
        return every
    first = results.header.policies[0].name
    return [pair for pair in every if pair[0] == first]


def pair_title(results: Results, pair: Pair) -> str:
    """Returns what a heading calls a pair of policies."""
    return f"From {title(results, pair[0])} to {title(results, pair[1])}"


def _pairs(results: Results, rows: Sequence[Shift], key: str) -> Iterable[Block]:
    for i, pair in enumerate(
        shown_pairs(results, ((row.before_policy, row.after_policy) for row in rows))
    ):
        own = [row for row in rows if (row.before_policy, row.after_policy) == pair]
        yield Heading(pair_title(results, pair))
        yield from _pair(results, pair, own, f"{key}-{i}")


def _pair(results: Results, pair: Pair, rows: Sequence[Shift], key: str) -> Iterable[Block]:
    flags = [row for row in rows if row.metric == FLAG]
    alone = singles(row.by for row in flags)
    before, after = (title(results, name) for name in pair)
    figures = []
    for i, by in enumerate(alone):
        own = [row for row in flags if row.by in (by, OVERALL)]
        name = f"Share flagged by {by}, before and after"
        svg = dumbbell(own, before=before, after=after, key=f"{key}-{i}", title=name)
        figures.append(Figure(svg, f"{name}. A star marks a shift that stands."))
    if figures:
        yield Figures(tuple(figures))
    main = [row for row in flags if row.by in alone or row.by == OVERALL]
    if main:
        yield _table("Share flagged: overall and by feature", main)
    if crossed := [row for row in flags if row not in main]:
        yield Fold("By intersection", (_table("Share flagged by intersection", crossed),))
    metrics = page_metrics(results, (row.metric for row in rows if row.metric != FLAG))
    others = [
        row
        for row in rows
        if row.metric in metrics and (row.by in alone or row.by == OVERALL) and _moved(row)
    ]
    if others:
        caption = "Other rates that moved: overall and by feature"
        yield Fold(caption, (_table(caption, others),))


def _moved(row: Shift) -> bool:
    return row.metric != FLAG and row.entered + row.left > 0


def _table(caption: str, rows: Sequence[Shift]) -> Block:
    columns = ["Group", "Before", "After", "Entered", "Left"]
    columns += ["Net, points", "Adjusted p", "Claim"]
    return table(caption, columns, [_row(row) for row in rows])


def _row(row: Shift) -> list[Cell]:
    rate = () if row.metric == FLAG else (metric_name(row.metric),)
    name = head("All images", *rate) if row.by == OVERALL else head(row.group, row.by, *rate)
    claim = claim_cell(row.claim, row.support)
    if row.support == "suppressed":
        few = [
            Cell((of(row.before_count, row.n),), tone="few"),
            Cell((of(row.after_count, row.n),), tone="few"),
            number(count(row.entered), tone="few"),
            number(count(row.left), tone="few"),
        ]
        return [name, *few, withheld(), withheld(), claim]
    before = rate_line(row.before, row.before_low, row.before_high)
    after = rate_line(row.after, row.after_low, row.after_high)
    to_rest = points_line(row.net_to_rest, row.net_to_rest_low, row.net_to_rest_high)
    rest = () if row.by == OVERALL else (("to the rest ", *to_rest),)
    return [
        name,
        Cell((before, of(row.before_count, row.n))),
        Cell((after, of(row.after_count, row.n))),
        number(count(row.entered)),
        number(count(row.left)),
        Cell((points_line(row.net, row.net_low, row.net_high), *rest)),
        number(p_value(row.p_adjusted)),
        claim,
    ]


def _agreement_p(row: Agreement) -> list[Cell]:
    return [number(p_value(row.p)), number(p_value(row.p_adjusted))]


def _agreements(results: Results) -> Iterable[Block]:
    rows = [row for row in results.agreements if row.metric == FLAG]
    alone = singles(row.by for row in rows)
    shown = [row for row in rows if row.by == OVERALL or row.by in alone]
    if not shown:
        return
    yield Heading("Do all label sets flag alike?")
    yield paragraph("Cochran's Q over all label sets; with two of them it is McNemar's test.")
    cells = [
        [
            head("All images") if row.by == OVERALL else head(row.group, row.by),
            number(*of(row.changing, row.n)),
            *([withheld()] * 2 if row.support == "suppressed" else _agreement_p(row)),
        ]
        for row in shown
    ]
    columns = ("Group", "Flagged by some, not all", "p", "Adjusted p")
    yield table("Cochran's Q", columns, cells)
