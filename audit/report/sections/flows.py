"""Where images went from one label set to another, and what new labels took from whom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from audit.report.document import (
    Block,
    Cell,
    Figure,
    Figures,
    Fold,
    Heading,
    Line,
    Name,
    head,
    number,
    paragraph,
    table,
)
from audit.report.names import OVERALL, distinct, singles, title
from audit.report.plots.flow import flow
from audit.report.sections.shifts import Pair, pair_title, shown_pairs
from audit.report.shown import count, few_tone, of, rate_line, support_tag
from audit.results.results import Results
from audit.results.rows import Flow, Price
from audit.statistics.support import support_of

#: How many flows the diagram and the first table show; the CSV file holds all.
_DRAWN, _LISTED, _LISTED_BY_GROUP = 12, 15, 5


def flows(results: Results) -> tuple[Block, ...]:
    """Returns where the images that changed their label or action went."""
    changed = [row for row in results.flows if row.source != row.target]
    pairs = shown_pairs(results, ((row.before_policy, row.after_policy) for row in changed))
    blocks: list[Block] = []
    for i, pair in enumerate(pairs):
        own = [row for row in changed if (row.before_policy, row.after_policy) == pair]
        blocks += [Heading(pair_title(results, pair)), *_pair(results, pair, own, i)]
    return tuple(blocks)


def _pair(results: Results, pair: Pair, rows: Sequence[Flow], place: int) -> Iterable[Block]:
    figures = []
    for kind in ("action", "label"):
        top = _largest(row for row in rows if row.by == OVERALL and row.kind == kind)[:_DRAWN]
        if top:
            name = f"Images that changed their {kind}"
            before, after = (title(results, policy) for policy in pair)
            svg = flow(top, before=before, after=after, key=f"flow-{kind}-{place}", title=name)
            caption = f"{name}, largest flows. Numbers count images."
            figures.append(Figure(svg, caption))
    if figures:
        yield Figures(tuple(figures))
    labels = [row for row in rows if row.kind == "label"]
    whole = _largest(row for row in labels if row.by == OVERALL)[:_LISTED]
    if whole:
        yield _table("Images that changed the label they resemble most: largest flows", whole)
    for by in singles(row.by for row in labels):
        groups = distinct(row.group for row in labels if row.by == by)
        listed = [row for group in groups for row in _of_group(labels, by, group)]
        caption = f"Largest flows of each group by {by}"
        yield Fold(caption, (_table(caption, listed),))


def _of_group(rows: Sequence[Flow], by: str, group: str) -> list[Flow]:
    return _largest(r for r in rows if r.by == by and r.group == group)[:_LISTED_BY_GROUP]


def _largest(rows: Iterable[Flow]) -> list[Flow]:
    return sorted(rows, key=lambda row: (-row.count, row.source, row.target))


def _table(caption: str, rows: Sequence[Flow]) -> Block:
    cells = [
        [
            head("All images") if row.by == OVERALL else head(row.group),
            Cell(((Name(row.source),),), role="text"),
            Cell(((Name(row.target),),), role="text"),
            number(*of(row.count, row.n)),
        ]
        for row in rows
    ]
    return table(caption, ("Group", "From", "To", "Images"), cells)


def prices(results: Results) -> tuple[Block, ...]:
    """Returns what each new label took: from flagged images, and from those that passed."""
    if not results.prices:
        return ()
    told = paragraph(
        "A new label takes images from the others, so adding one nearly always lowers flags. "
        "Relief is the share of the images flagged before that it took. Over-capture is the share "
        "of the images that passed before that it took: its price."
    )
    blocks: list[Block] = [told]
    pairs = shown_pairs(results, ((row.before_policy, row.after_policy) for row in results.prices))
    for pair in pairs:
        own = [row for row in results.prices if (row.before_policy, row.after_policy) == pair]
        if len(pairs) > 1:
            blocks.append(Heading(pair_title(results, pair)))
        blocks += _price_tables(own)
    return tuple(blocks)


def _price_tables(rows: Sequence[Price]) -> Iterable[Block]:
    alone = singles(row.by for row in rows)
    for label in distinct(row.label for row in rows):
        own = [row for row in rows if row.label == label]
        main = [row for row in own if row.by == OVERALL or row.by in alone]
        yield _prices(f"What the label {label} took", main)
        if crossed := [row for row in own if row not in main]:
            caption = f"What the label {label} took, by intersection"
            yield Fold(caption, (_prices(caption, crossed),))


def _prices(caption: str, rows: Sequence[Price]) -> Block:
    known = any(row.from_correct is not None for row in rows)
    columns = ["Group", "Took", "Relief", "Over-capture"]
    columns += ["Of them right before"] if known else []
    return table(caption, columns, [_price(row, known) for row in rows])


def _price(row: Price, known: bool) -> list[Cell]:
    name = head("All images") if row.by == OVERALL else head(row.group, row.by)
    tone = few_tone(row.support)
    mark = support_tag(row.support)
    right = ("unknown",) if row.from_correct is None else (count(row.from_correct),)
    return [
        name,
        Cell((of(row.captured, row.n), *((mark,) if mark else ())), tone=tone),
        _share(
            rate_line(row.relief, row.relief_low, row.relief_high),
            (row.from_flagged, row.flagged_before),
        ),
        _share(
            rate_line(row.over_capture, row.over_capture_low, row.over_capture_high),
            (row.from_passed, row.passed_before),
        ),
        *([number(*right, tone=tone)] if known else []),
    ]


def _share(line: Line, counted: tuple[int, int]) -> Cell:
    """Returns a share of part of a group, which may be too small even where the group is not."""
    support = support_of(counted[1]).item()
    if support == "suppressed":
        return Cell((of(*counted), support_tag(support)), tone="few")
    mark = support_tag(support)
    return Cell((line, (*of(*counted), *((" ", *mark) if mark else ()))))
