"""How far groups lie apart: the widest gaps, the equalized odds, each group against all images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from audit.metrics.rates import FLAG
from audit.report.blocks import Block, Table, folded, paragraph, table
from audit.report.cells import Cell, adjusted_p_cell, claim_cell, head, number, stacked, withheld
from audit.report.grouping import grouped, is_crossed
from audit.report.inline import Line, Name, Tag
from audit.report.names import group_name, harm_name, metric_name, named_metrics, policy_title
from audit.report.sections.many_systems import systems_folded
from audit.report.shown_numbers import count, count_of, p_value, points_line, ratio_line
from audit.results.finding import certainty
from audit.results.results import Results
from audit.results.rows import Difference, Gap

_WARNING = (
    "The widest gap is read off the same images that show it, so it is biased upward: groups of "
    "one true rate also differ a little. Its intervals are simultaneous over all pairs of "
    "groups, which allows for that. Groups with too few images are left out."
)

_RATIOS = (
    "Ratio: highest rate over lowest. Pass ratio: the share that does not count in the group with "
    "the highest rate, over that in the group with the lowest. Near 1 it can hide a large ratio. "
    "p: one test of all compared groups, by itself; it claims nothing, as it is not corrected."
)

_CLAIMS = (
    "Each group against all images. p is adjusted over all that this report tests, and a "
    "difference stands where it is below 0.05. Below it is p within its family: the groups of a "
    "sensitive feature, under one label set and rate. Each interval is of one comparison by "
    "itself, so it can leave out 0, or a ratio of 1, where no claim is made."
)

#: Of many systems, up to this many rows are shown together.
_LISTED = 20

_GAP = ("By", "Highest", "Lowest", "Gap, points", "Ratio", "Pass ratio", "p", "Groups")
_DIFFERENCE = ("Group", "Counted", "Against", "Difference, points", "Ratio", "Adjusted p", "Claim")


def gaps_section(results: Results) -> Iterator[Block]:
    """Yields the widest gap of each policy, sensitive feature and rate, and the equalized odds."""
    metrics = named_metrics(results, (gap.metric for gap in results.gaps))
    shown = grouped((gap for gap in results.gaps if gap.metric in metrics), lambda g: g.policy)
    if shown:
        yield paragraph(_WARNING, tone="note")
        yield paragraph(_RATIOS)
    if results.header.is_of_many:
        yield from _gaps_of_many(results)
    blocks = (block for name, own in shown.items() for block in _gaps_of_one(results, name, own))
    yield from systems_folded(results, f"Widest gaps of each {results.header.noun}", blocks)
    if results.equalized_odds:
        yield paragraph(
            "Equalized odds: the larger of two gaps, in the true positive rate and in the false "
            "positive rate. The interval is simultaneous."
        )
        odds = _equalized_odds_gap_table(results)
        yield folded(odds) if results.header.is_of_many else odds


def _gaps_of_many(results: Results) -> Iterator[Block]:
    """Yields the widest gaps of all systems where groups are claimed to differ, widest first."""
    claimed = [gap for gap in results.gaps if gap.claim and gap.metric == results.header.harm]
    claimed.sort(key=lambda gap: -(gap.difference_low or 0.0))
    rows = [
        [head(gap.policy, gap.by), *_gap_cells(results, gap)[1:]]
        for gap in claimed[:_LISTED]
        if not is_crossed(gap.by)
    ]
    if rows:
        caption = f"Widest gaps in the {harm_name(results).lower()} where groups differ"
        yield table(caption, (results.header.noun.capitalize(), *_GAP[1:]), rows)


def _gaps_of_one(results: Results, policy: str, own: Sequence[Gap]) -> Iterator[Block]:
    """Yields the widest gaps of one policy."""
    name = policy_title(results, policy)
    if flags := [_gap_cells(results, gap) for gap in own if gap.metric == results.header.harm]:
        caption = f"Widest gaps in the {harm_name(results).lower()}, {name}"
        yield table(caption, _GAP, flags)
    if others := [_gap_cells(results, gap) for gap in own if gap.metric != results.header.harm]:
        yield folded(table(f"Widest gaps in the other rates, {name}", _GAP, others))


def _gap_cells(results: Results, gap: Gap) -> list[Cell]:
    name = head(gap.by) if gap.metric == FLAG else head(gap.by, metric_name(gap.metric))
    compared = stacked(
        (count(gap.compared),), (Tag("others too few", "few"),) if gap.left_out else ()
    )
    if gap.worst is None or gap.best is None:
        lost = number("too little data", tone="few")
        return [name, *[lost] * 5, number(p_value(gap.p)), compared]
    return [
        name,
        _gap_end_cell(results, gap, gap.worst, (gap.worst_count, gap.worst_n)),
        _gap_end_cell(results, gap, gap.best, (gap.best_count, gap.best_n)),
        number(*points_line(gap.difference, gap.difference_low, gap.difference_high)),
        _gap_ratio_cell(gap.ratio, gap.ratio_low, gap.ratio_high),
        _gap_ratio_cell(gap.pass_ratio, gap.pass_ratio_low, gap.pass_ratio_high),
        number(p_value(gap.p)),
        compared,
    ]


def _gap_ratio_cell(ratio: float | None, low: float | None, high: float | None) -> Cell:
    """Returns a ratio with its interval below it, so that the table fits on a page."""
    shown, *interval = ratio_line(ratio, low, high)
    return stacked((shown,), tuple(interval))


def _gap_end_cell(results: Results, gap: Gap, group: str, counted: tuple[int, int]) -> Cell:
    """Returns a group at one end of a gap, and how many others have its rate."""
    hits, n = counted
    tied = sum(
        rate.count * n == hits * rate.n
        for rate in results.rates
        if (rate.policy, rate.by, rate.metric) == (gap.policy, gap.by, gap.metric)
        if rate.support != "suppressed" and rate.group != group
    )
    others: Line = ("and ", count(tied), " more at that rate") if tied else ()
    return stacked((Name(group),), count_of(*counted), others)


def _equalized_odds_gap_table(results: Results) -> Table:
    rows = [
        [
            head(row.by, policy_title(results, row.policy)),
            number(*points_line(row.difference, row.low, row.high)),
            number(count(row.n)),
            number(count(row.compared)),
        ]
        for row in results.equalized_odds
    ]
    return table("Equalized odds difference", ("By", "Difference, points", "n", "Groups"), rows)


def gaps_to_overall_section(results: Results) -> Iterator[Block]:
    """Yields each group against all images, for each policy, and the pairs that differ."""
    metrics = named_metrics(results, (row.metric for row in results.differences))
    # A label that is claimed is shown, though labels are not among the rates of the page.
    shown = [row for row in results.differences if row.metric in metrics or _is_label_claim(row)]
    if shown:
        yield paragraph(_CLAIMS)
    if results.header.is_of_many:
        yield from _differences_of_many(results, shown)
    blocks = (
        block
        for policy, own in grouped(shown, lambda row: row.policy).items()
        for block in _gaps_to_overall_blocks(results, policy_title(results, policy), own)
    )
    yield from systems_folded(results, f"Differences of each {results.header.noun}", blocks)


def _differences_of_many(results: Results, shown: Sequence[Difference]) -> Iterator[Block]:
    """Yields the differences of all systems that stand, the most certain first."""
    rows = [r for r in shown if r.claim and r.comparison == "to_overall" and not is_crossed(r.by)]
    rows.sort(key=certainty)
    cells = [
        [head(row.policy, group_name(row.by, row.group), row.by), *_gap_to_overall_cells(row)[1:]]
        for row in rows[:_LISTED]
        if row.metric == results.header.harm
    ]
    if cells:
        caption = f"{harm_name(results)}: differences that stand"
        yield table(caption, (results.header.noun.capitalize(), *_DIFFERENCE[1:]), cells)


def _is_label_claim(row: Difference) -> bool:
    return row.claim and row.metric.startswith("fired:")


def _gaps_to_overall_blocks(
    results: Results, name: str, rows: Sequence[Difference]
) -> Iterator[Block]:
    flags = [row for row in rows if row.metric == results.header.harm and not is_crossed(row.by)]
    main = [row for row in flags if row.comparison == "to_overall"]
    others = [r for r in rows if r.comparison == "to_overall" and r.claim and r not in main]
    pairs = [row for row in flags if row.comparison == "between_groups" and row.claim]
    # Of all that is compared these are claimed, so they come first, and none is folded away.
    if others:
        caption = f"Other rates and intersections whose difference stands, {name}"
        yield _gaps_to_overall_table(caption, others)
    if pairs:
        yield _gaps_to_overall_table(f"Pairs of groups whose difference stands, {name}", pairs)
    if main:
        caption = f"{harm_name(results)}: each group against all images, {name}"
        yield _gaps_to_overall_table(caption, main)


def _gaps_to_overall_table(caption: str, rows: Sequence[Difference]) -> Table:
    return table(caption, _DIFFERENCE, map(_gap_to_overall_cells, rows))


def _gap_to_overall_cells(row: Difference) -> list[Cell]:
    rate = () if row.metric == FLAG else (metric_name(row.metric),)
    against = "all images" if row.comparison == "to_overall" else Name(row.reference)
    figures = [withheld()] * 3
    if row.support != "suppressed":
        figures = [
            number(*points_line(row.difference, row.difference_low, row.difference_high)),
            number(*ratio_line(row.ratio, row.ratio_low, row.ratio_high)),
            adjusted_p_cell(row.p_report, row.p_adjusted),
        ]
    return [
        head(row.group, row.by, *rate),
        number(*count_of(row.count, row.n)),
        stacked((against,), count_of(row.reference_count, row.reference_n)),
        *figures,
        claim_cell(row.claim, row.support),
    ]
