"""What single changes of the label set do: which label moves whom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from audit.datasets.groups import OVERALL
from audit.metrics.rates import FLAG
from audit.report.blocks import (
    Block,
    Figure,
    Heading,
    folded,
    paragraph,
    side_by_side,
    table,
)
from audit.report.cells import (
    Cell,
    adjusted_p_cell,
    claim_cell,
    few_tone,
    head,
    number,
    stacked,
    withheld,
    words,
)
from audit.report.grouping import grouped, is_crossed
from audit.report.inline import Line, Name
from audit.report.names import group_name, policy_title
from audit.report.plots.bars import BarPair, bars
from audit.report.shown_numbers import count, count_of, points_line, rate_line
from audit.results.ablation_rows import Ablation, Carried, SplitHalf
from audit.results.results import Results

#: How many changes a figure and its table show; the CSV file holds all.
_DRAWN = 12

_CHANGES = (
    *("Change", "Group", "Before", "After", "Entered", "Left"),
    *("Net, points", "Adjusted p", "Claim"),
)
_HALVES = ("Half", "Change", "Searched", "Before", "After", "Entered", "Left", "Net, points")

_KINDS = {
    "without": "Without one label",
    "negative": "Without one look-alike",
    "with": "With one more label",
    "synonym": "With other words for one label",
    "template": "Under another template",
    "article": "With other articles",
}


def ablation_section(results: Results) -> Iterator[Block]:
    """Yields the changes that move most, then what each label carries, then the held-out half."""
    flags = [row for row in results.ablations if row.metric == FLAG]
    if flags:
        yield paragraph(
            "Each line is the label set with one change, on the same images. The most moved "
            "group is the one, of those with enough images, whose share flagged changes most. "
            "Of several that tie, the first is shown and the others are counted. It is picked "
            "after the fact, so its change is biased away from zero, and so is that of the change "
            "that moves most. p is adjusted over all that this report tests; below it is p within "
            "its family, all changes and all groups of a sensitive feature. Each interval is of "
            "one change by itself. Changes that change nothing are not counted; they are listed "
            "under what was not tried."
        )
    policies = grouped(flags, lambda row: row.policy)
    for i, (policy, own) in enumerate(policies.items()):
        for kind, rows in grouped(own, lambda row: row.kind).items():
            name = f"{_KINDS[kind]}: {policy}" if len(policies) > 1 else _KINDS[kind]
            yield Heading(name)
            yield from _ablation_blocks_of_kind(name, rows, f"bars-{kind}-{i}")
    if results.carried:
        yield Heading("What single labels carry")
        yield paragraph("The share of a category's hits that one label fires alone.")
        columns = ("Policy", "Category", "Label", "Alone", "Share")
        cells = [_ablation_share_cells(results, row) for row in results.carried if row.n]
        yield table("Hits that one label fires alone", columns, cells)
    if results.split_halves:
        yield Heading("The best change, on images it was not chosen on")
        yield paragraph(
            "The best of many changes looks better than it is on the images it was chosen on. "
            "The half that was held out shows the honest gain."
        )
        halves = map(_ablation_half_cells, results.split_halves)
        yield table("The best change, on both halves", _HALVES, halves)


def _ablation_blocks_of_kind(name: str, rows: Sequence[Ablation], key: str) -> Iterator[Block]:
    if changes := _ablation_section_changes(rows)[:_DRAWN]:
        svg = bars(changes, key=key, title=f"Net change of the share flagged. {name}")
        caption = f"{name}: net change of the share flagged, largest first. * stands."
        yield from side_by_side([Figure(svg, caption)])
        caption = f"{name}: all images and the most moved group, largest first"
        yield table(caption, _CHANGES, _ablation_pair_cells(changes))
    if every := [row for row in rows if not is_crossed(row.by) and row.entered + row.left]:
        caption = f"{name}: every group that moved"
        yield folded(table(caption, _CHANGES, map(_ablation_cells, every)))


def _ablation_section_changes(rows: Sequence[Ablation]) -> list[BarPair]:
    """Returns each change with its most moved group, the largest overall change first."""
    changes = []
    for own in grouped(rows, lambda row: row.change).values():
        groups = [
            row
            for row in own
            if row.by != OVERALL and not is_crossed(row.by) and row.support != "suppressed"
        ]
        furthest = max((abs(row.net or 0.0) for row in groups), default=0.0)
        moved = [row for row in groups if furthest and abs(row.net or 0.0) == furthest]
        changes += [BarPair(row, moved) for row in own if row.by == OVERALL]
    return sorted(changes, key=lambda change: -abs(change.overall.net or 0.0))


def _ablation_pair_cells(changes: Iterable[BarPair]) -> Iterator[list[Cell]]:
    for overall, groups in changes:
        yield _ablation_cells(overall)
        if groups:
            yield _ablation_cells(groups[0], tied=len(groups) - 1)


def _ablation_cells(row: Ablation, tied: int = 0) -> list[Cell]:
    tone = few_tone(row.support)
    others: Line = ("and ", count(tied), " more that tie") if tied else ()
    return [
        head(row.change),
        stacked((Name(group_name(row.by, row.group)),), others, role="text"),
        number(*count_of(row.before_count, row.n), tone=tone),
        number(*count_of(row.after_count, row.n), tone=tone),
        number(count(row.entered), tone=tone),
        number(count(row.left), tone=tone),
        withheld() if tone else number(*points_line(row.net, row.net_low, row.net_high)),
        withheld() if tone else adjusted_p_cell(row.p_report, row.p_adjusted),
        claim_cell(row.claim, row.support),
    ]


def _ablation_share_cells(results: Results, row: Carried) -> list[Cell]:
    return [
        words(policy_title(results, row.policy)),
        words(row.category),
        head(row.label),
        number(*count_of(row.count, row.n)),
        number(*rate_line(row.share, row.low, row.high)),
    ]


def _ablation_half_cells(row: SplitHalf) -> list[Cell]:
    return [
        head(row.half),
        words(Name(row.change)),
        number(count(row.searched)),
        number(*count_of(row.before_count, row.n)),
        number(*count_of(row.after_count, row.n)),
        number(count(row.entered)),
        number(count(row.left)),
        number(*points_line(row.net, row.net_low, row.net_high)),
    ]
