"""What is adjusted of what was counted: standardised rates, pooled intersections, a margin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from audit.datasets.groups import CROSS
from audit.report.blocks import Block, Table, folded, paragraph, table
from audit.report.cells import (
    Cell,
    few_tone,
    group_head,
    head,
    marked_line,
    number,
    stacked,
    support_mark,
    withheld,
    words,
)
from audit.report.grouping import grouped
from audit.report.inline import Line, Name, Tag, Value
from audit.report.names import harm_name, metric_name, named_metrics, policy_title
from audit.report.sections.many_systems import systems_folded
from audit.report.shown_numbers import (
    count,
    count_of,
    p_value,
    points_line,
    rate_line,
    unsigned_points,
)
from audit.results.adjusted_rows import CommonStrata, Equivalent, Pooled, PooledGap, Standardised
from audit.results.results import Results
from audit.statistics.support import SUPPRESSED_BELOW

_STANDARDISED = (
    "What each rate would be if every group had the other sensitive features of the whole dataset. "
    "Where a group differs as counted and not as standardised, those features may be what is "
    "behind it. Features that the dataset does not have are not allowed for. p is "
    "Cochran-Mantel-Haenszel's, by itself: it claims nothing, as it is not corrected."
)
_POOLED = (
    "With few images a rate is high or low by chance. Pooled, a cell borrows from the other cells "
    "of its intersection what it lacks in images. Each interval is of one cell by itself and right "
    "on average over cells; a cell that is unlike all others is drawn to them where it has few "
    "images, so read its own count too. This describes, and claims nothing."
)
_EQUIVALENT = (
    "No claim of a difference does not show that there is none. Here two one-sided tests ask "
    "whether a difference is within the margin that was asked for. p is adjusted by Holm over all "
    "rows below, apart from what the report claims to differ, as this claims the opposite. The "
    "interval has 90 %: each of the two tests has an error of 5 %."
)

_RATE = ("Group", "As counted", "Standardised", "To all others, as counted", "Standardised", "p")
_GAP = ("By", "As counted, points", "Pooled, points", "Highest, pooled", "Lowest, pooled", "Cells")
_MARGIN = ("Group", "n", "Difference, points", "p by Holm", "Shown")


def standardised_section(results: Results) -> Iterator[Block]:
    """Yields the rates of each feature as counted and standardised for the others."""
    rows = results.standardised
    if not rows:
        return
    yield paragraph(_STANDARDISED)
    strata = {_standardised_key(each): each for each in results.common_strata}
    claimed = {
        (row.policy, row.by, row.metric, row.group)
        for row in results.differences
        if row.claim and row.comparison == "to_overall"
    }
    named = named_metrics(results, (row.metric for row in rows))
    shown = [
        row
        for row in rows
        if row.metric == results.header.harm
        or (row.metric in named and (row.policy, row.by, row.metric, row.group) in claimed)
    ]
    tables = (
        _standardised_table(results, strata[key], own)
        for key, own in grouped(shown, _standardised_key).items()
    )
    yield from systems_folded(results, f"Rates of each {results.header.noun}", tables)


def _standardised_key(row: Standardised | CommonStrata) -> tuple[str, str, str]:
    return row.policy, row.by, row.metric


def _standardised_table(
    results: Results, strata: CommonStrata, rows: Sequence[Standardised]
) -> Table:
    others = strata.standardised_for.replace(CROSS, " and ")
    without = f", without {', '.join(strata.left_out)}" if strata.left_out else ""
    caption = (
        f"{metric_name(strata.metric)} by {strata.by}, standardised for {others}, "
        f"{policy_title(results, strata.policy)}: over {strata.common:,} of {strata.strata:,} "
        f"strata, {strata.common_n:,} of {strata.n:,} images{without}"
    )
    return table(caption, _RATE, map(_standardised_cells, rows))


def _standardised_cells(row: Standardised) -> list[Cell]:
    crude = stacked(
        rate_line(row.crude, row.crude_low, row.crude_high), count_of(row.crude_count, row.crude_n)
    )
    name = group_head(row.by, row.group)
    if row.support == "suppressed":
        return [name, crude, *[withheld()] * 4]
    return [
        name,
        crude,
        stacked(
            rate_line(row.rate, row.low, row.high), marked_line(("n ", count(row.n)), row.support)
        ),
        number(
            *points_line(row.crude_difference, row.crude_difference_low, row.crude_difference_high)
        ),
        number(*points_line(row.difference, row.difference_low, row.difference_high)),
        number(p_value(row.p)),
    ]


def pooled_section(results: Results) -> Iterator[Block]:
    """Yields how far the cells of intersections lie apart, as counted and pooled, and the cells."""
    if not results.pooled_gaps:
        return
    yield paragraph(_POOLED)
    for policy, gaps in grouped(results.pooled_gaps, lambda gap: gap.policy).items():
        caption = f"{harm_name(results)}, highest less lowest, {policy_title(results, policy)}"
        yield table(caption, _GAP, map(_pooled_gap_cells, gaps))
    for by, rows in grouped(results.pooled, lambda row: row.by).items():
        yield folded(_pooled_table(results, by, rows))


def _pooled_gap_cells(gap: PooledGap) -> list[Cell]:
    return [
        head(gap.by),
        number(unsigned_points(gap.raw_difference)),
        number(
            unsigned_points(gap.difference),
            " [",
            unsigned_points(gap.difference_low),
            ", ",
            unsigned_points(gap.difference_high),
            "]",
        ),
        words(Name(gap.highest)),
        words(Name(gap.lowest)),
        stacked((count(gap.cells),), ("the smallest of ", count(gap.smallest_n))),
    ]


def _pooled_table(results: Results, by: str, rows: Sequence[Pooled]) -> Table:
    policies = list(dict.fromkeys(row.policy for row in rows))
    columns = ["Cell", *(policy_title(results, policy) for policy in policies)]
    cells = [
        [head(group), *map(_pooled_cell, own)]
        for group, own in grouped(rows, lambda row: row.group).items()
    ]
    return table(f"{harm_name(results)} by {by}, pooled", columns, cells)


def _pooled_cell(row: Pooled) -> Cell:
    """Returns a pooled rate as a cell: of few images it is shown too, but not as their own."""
    few = (Tag(f"n < {SUPPRESSED_BELOW}, mostly borrowed", "indicative"),)
    return stacked(
        rate_line(row.pooled, row.pooled_low, row.pooled_high),
        ("counted ", *count_of(row.count, row.n)),
        few if row.support == "suppressed" else support_mark(row.support),
    )


def equivalent_section(results: Results) -> Iterator[Block]:
    """Yields what is shown to lie within the margin, if one was given."""
    if not results.equivalences:
        return
    yield paragraph(_EQUIVALENT)
    harm = harm_name(results)
    for policy, rows in grouped(results.equivalences, _equivalent_key).items():
        kind, before, after = policy
        title = policy_title(results, after)
        caption = (
            f"{harm} of each group against all others, {title}"
            if kind == "group"
            else f"Change of the {harm.lower()} from {policy_title(results, before)} to {title}"
        )
        yield table(caption, _MARGIN, map(_equivalent_cells, rows))


def _equivalent_key(row: Equivalent) -> tuple[str, str, str]:
    return row.kind, row.before_policy or "", row.policy


def _equivalent_cells(row: Equivalent) -> list[Cell]:
    few = row.support == "suppressed"
    apart = points_line(row.difference, row.low, row.high)
    return [
        group_head(row.by, row.group),
        number(count(row.n), tone=few_tone(row.support)),
        withheld() if few else number(*apart),
        withheld() if few else number(p_value(row.p_adjusted)),
        _equivalent_answer(row),
    ]


def _equivalent_answer(row: Equivalent) -> Cell:
    """Returns in words what is shown: within the margin, a difference, both, or neither."""
    margin: Line = (Value(row.margin, f"{100 * (row.margin or 0.0):g}"), " points")
    if row.answer == "within":
        return stacked((Tag("within", "claim"), " ", *margin), role="text")
    if row.answer == "differs within":
        return stacked((Tag("differs", "claim"), ", and is within ", *margin), role="text")
    if row.answer == "differs":
        return stacked((Tag("differs", "claim"),), role="text")
    few = (Tag("too few", "few"),) if row.support == "suppressed" else ()
    return stacked(("neither",), few, role="text")
