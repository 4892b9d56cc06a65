"""What the audit could have seen, what had too little data, and what it cannot say."""

from __future__ import annotations

from collections.abc import Sequence

from audit.report.document import (
    Block,
    Cell,
    Fold,
    Heading,
    Line,
    Points,
    Table,
    head,
    paragraph,
    table,
    withheld,
    words,
)
from audit.report.names import OVERALL, distinct, singles, title
from audit.report.shown import percent, size, sized
from audit.results.results import Results
from audit.results.rows import Power

_LISTED = 12


def reach(results: Results) -> tuple[Block, ...]:
    """Returns the smallest difference that each group would show, and what had too little data."""
    blocks: list[Block] = []
    alone = singles(row.by for row in results.power)
    shown = [row for row in results.power if row.by == OVERALL or row.by in alone]
    if shown:
        blocks.append(
            paragraph(
                "The smallest rise above the rate of all other images that a group of its size "
                "would show in four audits of five. No claim on a group does not mean that it is "
                "treated alike: a smaller disparity would not have been seen."
            )
        )
        blocks.append(_powers(results, shown))
    if results.insufficient:
        blocks += [Heading("Too little data"), *_list(results.insufficient)]
    if results.not_tried:
        blocks += [Heading("Not tried"), *_list(results.not_tried)]
    return tuple(blocks)


def _powers(results: Results, rows: Sequence[Power]) -> Table:
    policies = distinct(row.policy for row in rows)
    found = {(row.by, row.group, row.policy): row for row in rows}
    columns = ["Group", "n", *(f"{title(results, name)}, points" for name in policies)]
    lines = []
    for by, group in distinct((row.by, row.group) for row in rows):
        own = [found.get((by, group, policy)) for policy in policies]
        first = next(row for row in own if row is not None)
        name = head("All images") if by == OVERALL else head(group, by)
        lines.append([name, sized(first.n, first.support), *(_power(row) for row in own)])
    return table("Smallest difference that each group would show", columns, lines)


def _power(row: Power | None) -> Cell:
    if row is None:
        return words("not in it")
    if row.support == "suppressed":
        return withheld()
    return Cell(((size(row.smallest_difference),), ("at a rate of ", percent(row.rate))))


def _list(texts: tuple[str, ...]) -> tuple[Block, ...]:
    items: tuple[Line, ...] = tuple((text,) for text in texts)
    first: Block = Points(items[:_LISTED])
    if len(items) <= _LISTED:
        return (first,)
    return (first, Fold("The rest of what had too little data", (Points(items[_LISTED:]),)))


def limits(results: Results) -> tuple[Block, ...]:
    """Returns what the audit cannot say."""
    items = tuple((text,) for text in results.limits)
    return (Points(items),) if items else ()
