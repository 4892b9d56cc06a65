"""What single changes of the label set do: which label moves whom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from audit.report.document import (
    Block,
    Cell,
    Figure,
    Figures,
    Fold,
    Heading,
    Name,
    head,
    number,
    paragraph,
    table,
    withheld,
    words,
)
from audit.report.names import FLAG, OVERALL, distinct, singles, title
from audit.report.plots.bars import Change, bars
from audit.report.shown import claim_cell, count, few_tone, of, p_value, points_line, rate_line
from audit.results.ablation_rows import Ablation, Carried, SplitHalf
from audit.results.results import Results

#: How many changes a figure shows; the table holds all.
_DRAWN = 12

_KINDS = {
    "without": "Without one label",
    "with": "With one more label",
    "synonym": "With other words for one label",
    "template": "Under another template",
    "article": "With other articles",
}


def ablation(results: Results) -> tuple[Block, ...]:
    """Returns the changes that move most, then what each label carries, then the held-out half."""
    flags = [row for row in results.ablations if row.metric == FLAG]
    policies = distinct(row.policy for row in flags)
    blocks: list[Block] = []
    if flags:
        blocks.append(
            paragraph(
                "Each line is the label set with one change, on the same images. The most moved "
                "group is the one, of those with enough images, whose share flagged changes most. "
                "It is picked after the fact, so its change is biased away from zero. p is "
                "corrected by Holm over all changes and all groups of a feature."
            )
        )
    for i, policy in enumerate(policies):
        own = [row for row in flags if row.policy == policy]
        for kind in distinct(row.kind for row in own):
            name = f"{_KINDS[kind]}: {policy}" if len(policies) > 1 else _KINDS[kind]
            rows = [row for row in own if row.kind == kind]
            blocks += [Heading(name), *_kind(name, rows, f"bars-{kind}-{i}")]
    blocks += [*_carried(results), *_split_halves(results)]
    return tuple(blocks)


def _kind(name: str, rows: Sequence[Ablation], key: str) -> Iterable[Block]:
    changes = ranked(rows)
    if changes:
        svg = bars(changes[:_DRAWN], key=key, title=f"Net change of the share flagged. {name}")
        caption = f"{name}: net change of the share flagged, largest first. * stands."
        yield Figures((Figure(svg, caption),))
        caption = f"{name}: all images and the most moved group, largest first"
        yield _table(caption, _flat(changes[:_DRAWN]))
    alone = {OVERALL, *singles(row.by for row in rows)}
    every = [row for row in rows if row.by in alone and row.entered + row.left]
    if every:
        caption = f"{name}: every group that moved"
        yield Fold(caption, (_table(caption, every),))


def ranked(rows: Sequence[Ablation]) -> list[Change]:
    """Returns each change with its most moved group, the largest overall change first."""
    alone = singles(row.by for row in rows)
    changes = []
    for overall in rows:
        if overall.by != OVERALL:
            continue
        groups = [
            row
            for row in rows
            if row.change == overall.change and row.by in alone and row.support != "suppressed"
        ]
        moved = max(groups, key=_size, default=None)
        changes.append(Change(overall, moved if moved is not None and moved.net else None))
    return sorted(changes, key=lambda change: -_size(change.overall))


def _size(row: Ablation) -> float:
    return abs(row.net or 0.0)


def _flat(changes: Sequence[Change]) -> list[Ablation]:
    return [row for change in changes for row in change if row is not None]


def _table(caption: str, rows: Sequence[Ablation]) -> Block:
    columns = ("Change", "Group", "Before", "After", "Entered", "Left", "Net, points")
    return table(caption, (*columns, "Adjusted p", "Claim"), [_row(row) for row in rows])


def _row(row: Ablation) -> list[Cell]:
    group = "All images" if row.by == OVERALL else row.group
    tone = few_tone(row.support)
    net = Cell((points_line(row.net, row.net_low, row.net_high),))
    return [
        head(row.change),
        words(Name(group)),
        number(*of(row.before_count, row.n), tone=tone),
        number(*of(row.after_count, row.n), tone=tone),
        number(count(row.entered), tone=tone),
        number(count(row.left), tone=tone),
        withheld() if tone else net,
        withheld() if tone else number(p_value(row.p_adjusted)),
        claim_cell(row.claim, row.support),
    ]


def _carried(results: Results) -> Iterable[Block]:
    if not results.carried:
        return
    yield Heading("What single labels carry")
    yield paragraph("The share of a category's hits that one label fires alone.")
    columns = ("Policy", "Category", "Label", "Alone", "Share")
    cells = [_carried_row(results, row) for row in results.carried if row.n]
    yield table("Hits that one label fires alone", columns, cells)


def _carried_row(results: Results, row: Carried) -> list[Cell]:
    return [
        words(title(results, row.policy)),
        words(row.category),
        head(row.label),
        number(*of(row.count, row.n)),
        Cell((rate_line(row.share, row.low, row.high),)),
    ]


def _split_halves(results: Results) -> Iterable[Block]:
    if not results.split_halves:
        return
    yield Heading("The best change, on images it was not chosen on")
    yield paragraph(
        "The best of many changes looks better than it is on the images it was chosen on. "
        "The half that was held out tells the honest gain."
    )
    columns = ("Half", "Change", "Searched", "Before", "After", "Entered", "Left", "Net, points")
    cells = [_half(row) for row in results.split_halves]
    yield table("The best change, on both halves", columns, cells)


def _half(row: SplitHalf) -> list[Cell]:
    return [
        head(row.half),
        words(Name(row.change)),
        number(count(row.searched)),
        number(*of(row.before_count, row.n)),
        number(*of(row.after_count, row.n)),
        number(count(row.entered)),
        number(count(row.left)),
        Cell((points_line(row.net, row.net_low, row.net_high),)),
    ]
