"""Where images went from one label set to another, and what new labels took from whom."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from audit.datasets.groups import OVERALL
from audit.report.blocks import (
    Block,
    Figure,
    Heading,
    Table,
    folded,
    paragraph,
    side_by_side,
    table,
)
from audit.report.cells import (
    Cell,
    few_tone,
    group_head,
    head,
    marked_line,
    number,
    stacked,
    support_mark,
    words,
)
from audit.report.grouping import PolicyPair, grouped, grouped_by_pair, is_crossed
from audit.report.inline import Line, Name
from audit.report.names import group_name, pair_title, policy_title
from audit.report.plots.alluvial import alluvial
from audit.report.shown_numbers import count, count_of, rate_line
from audit.results.results import Results
from audit.results.rows import Flow, Price
from audit.statistics.support import support_of

#: How many flows the diagram and the tables show; the CSV file holds all.
_DRAWN, _LISTED, _LISTED_BY_GROUP = 12, 15, 5

#: Of so many new labels, those that took most, the groups are shown.
_PRICED = 3


def flows_section(results: Results) -> Iterator[Block]:
    """Yields where the images that changed their label or action went."""
    changed = [row for row in results.flows if row.source != row.target]
    for i, (pair, own) in enumerate(grouped_by_pair(results, changed).items()):
        yield Heading(pair_title(results, *pair))
        yield from side_by_side(_flow_figures(results, pair, own, i))
        yield from _flow_tables([row for row in own if row.kind == "label"])


def _flow_figures(
    results: Results, pair: PolicyPair, rows: Sequence[Flow], place: int
) -> Iterator[Figure]:
    before, after = (policy_title(results, policy) for policy in pair)
    for kind in ("action", "label"):
        own = [row for row in rows if row.by == OVERALL and row.kind == kind]
        if own:
            name = f"Images that changed their {kind}"
            top, key = _shown_flows(own, _DRAWN), f"flow-{kind}-{place}"
            svg = alluvial(top, before=before, after=after, key=key, title=name)
            yield Figure(svg, f"{name}, largest flows. Numbers count images.")


def _flow_tables(labels: Sequence[Flow]) -> Iterator[Block]:
    groups = grouped(labels, lambda row: row.by)
    if whole := groups.pop(OVERALL, []):
        caption = "Images that changed the label they resemble most: largest flows"
        yield _flow_table(caption, _shown_flows(whole, _LISTED))
    for by, rows in groups.items():
        if not is_crossed(by):
            of_groups = grouped(rows, lambda row: row.group).values()
            listed = [row for own in of_groups for row in _shown_flows(own, _LISTED_BY_GROUP)]
            yield folded(_flow_table(f"Largest flows of each group by {by}", listed))


def _shown_flows(rows: Iterable[Flow], most: int) -> list[Flow]:
    """Returns the rows that the section shows, the largest first."""
    return sorted(rows, key=lambda row: (-row.count, row.source, row.target))[:most]


def _flow_table(caption: str, rows: Sequence[Flow]) -> Table:
    cells = [
        [
            head(group_name(row.by, row.group)),
            words(Name(row.source)),
            words(Name(row.target)),
            number(*count_of(row.count, row.n)),
        ]
        for row in rows
    ]
    return table(caption, ("Group", "From", "To", "Images"), cells)


def flow_prices_section(results: Results) -> Iterator[Block]:
    """Yields what each new label took: from flagged images, and from those that passed."""
    if not results.prices:
        return
    yield paragraph(
        "A new label takes images from the others, so adding one nearly always lowers flags. "
        "Relief is the share of the images flagged before that it took. Over-capture is the share "
        "of the images that passed before that it took: its price."
    )
    pairs = grouped_by_pair(results, results.prices)
    for pair, rows in pairs.items():
        if len(pairs) > 1:
            yield Heading(pair_title(results, *pair))
        wholes = sorted((row for row in rows if row.by == OVERALL), key=lambda row: -row.captured)
        for whole in wholes[:_PRICED]:
            yield from _flow_price_blocks([row for row in rows if row.label == whole.label])
        if others := wholes[_PRICED:]:
            caption = "What the other new labels took of all images (prices.csv has all groups)"
            yield _flow_price_table(caption, others, "Label")


def _flow_price_blocks(rows: Sequence[Price]) -> Iterator[Block]:
    """Yields what one new label took, by group."""
    caption = f"What the label {rows[0].label} took"
    yield _flow_price_table(caption, [row for row in rows if not is_crossed(row.by)])
    if crossed := [row for row in rows if is_crossed(row.by) and row.captured]:
        where = "by intersection, where it took any (prices.csv has all)"
        yield folded(_flow_price_table(f"{caption}, {where}", crossed))


def _flow_price_table(caption: str, rows: Sequence[Price], named: str = "Group") -> Table:
    known = any(row.from_correct is not None for row in rows)
    columns = [named, "Took", "Relief", "Over-capture"]
    columns += ["Of them right before"] if known else []
    heads = [head(row.label) if named == "Label" else group_head(row.by, row.group) for row in rows]
    cells = ([name, *_flow_price_cells(row, known)] for name, row in zip(heads, rows, strict=True))
    return table(caption, columns, cells)


def _flow_price_cells(row: Price, known: bool) -> list[Cell]:
    tone = few_tone(row.support)
    right = ("unknown",) if row.from_correct is None else (count(row.from_correct),)
    return [
        stacked(count_of(row.captured, row.n), support_mark(row.support), tone=tone),
        _flow_price_cell(
            rate_line(row.relief, row.relief_low, row.relief_high),
            (row.from_flagged, row.flagged_before),
        ),
        _flow_price_cell(
            rate_line(row.over_capture, row.over_capture_low, row.over_capture_high),
            (row.from_passed, row.passed_before),
        ),
        *([number(*right, tone=tone)] if known else []),
    ]


def _flow_price_cell(line: Line, counted: tuple[int, int]) -> Cell:
    """Returns a share of part of a group, which may be too small even where the group is not."""
    support = support_of(counted[1]).item()
    if support == "suppressed":
        return stacked(count_of(*counted), support_mark(support), tone="few")
    return stacked(line, marked_line(count_of(*counted), support))
