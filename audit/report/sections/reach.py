"""What the audit could have seen, what had too little data, and what it cannot say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from audit.report.document import (
    Block,
    Cell,
    Fold,
    Heading,
    Points,
    Table,
    paragraph,
    stacked,
    table,
    withheld,
    words,
)
from audit.report.names import distinct, grouped, is_crossed, title
from audit.report.shown import group_head, percent, size, sized
from audit.results.results import Results
from audit.results.rows import Power

_LISTED = 12


def reach(results: Results) -> Iterator[Block]:
    """Yields the smallest difference that each group would show, and what had too little data."""
    shown = [row for row in results.power if not is_crossed(row.by)]
    if shown:
        yield paragraph(
            "The smallest rise above the rate of all other images that a group of its size "
            "would show in four audits of five. No claim on a group does not mean that it is "
            "treated alike: a smaller disparity would not have been seen."
        )
        yield _powers(results, shown)
    if results.insufficient:
        yield Heading("Too little data")
        yield from _list(results.insufficient)
    if results.not_tried:
        yield Heading("Not tried")
        yield from _list(results.not_tried)


def _powers(results: Results, rows: Sequence[Power]) -> Table:
    policies = distinct(row.policy for row in rows)
    lines = []
    for (by, group), own in grouped(rows, lambda row: (row.by, row.group)).items():
        found = {row.policy: row for row in own}
        cells = (_power(found.get(policy)) for policy in policies)
        lines.append([group_head(by, group), sized(own[0].n, own[0].support), *cells])
    columns = ["Group", "n", *(f"{title(results, name)}, points" for name in policies)]
    return table("Smallest difference that each group would show", columns, lines)


def _power(row: Power | None) -> Cell:
    if row is None:
        return words("not in it")
    if row.support == "suppressed":
        return withheld()
    return stacked((size(row.smallest_difference),), ("at a rate of ", percent(row.rate)))


def _list(texts: Sequence[str]) -> Iterator[Block]:
    yield Points(tuple((text,) for text in texts[:_LISTED]))
    if rest := tuple((text,) for text in texts[_LISTED:]):
        yield Fold("The rest of what had too little data", (Points(rest),))


def limits(results: Results) -> Iterator[Block]:
    """Yields what the audit cannot say."""
    if results.limits:
        yield Points(tuple((text,) for text in results.limits))
