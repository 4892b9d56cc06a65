"""For which label images of each class were taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from audit.datasets.groups import OVERALL
from audit.report.blocks import Block, Table, folded, paragraph, table
from audit.report.cells import (
    Cell,
    group_head,
    head,
    marked_line,
    stacked,
    support_mark,
    words,
)
from audit.report.grouping import grouped
from audit.report.inline import Tag
from audit.report.names import policy_title
from audit.report.sections.many_systems import systems_folded
from audit.report.shown_numbers import count_of, rate_line
from audit.results.results import Results
from audit.results.rows import Confusion

#: So many labels that images of a class were taken for are shown, the most frequent first.
_LISTED = 8

_COLUMNS = ("Class", "Taken for", "Share")


def confusion_section(results: Results) -> Iterator[Block]:
    """Yields the labels that images of each class were taken for, overall and by group."""
    if not results.confusions:
        return
    yield paragraph(
        "Of the images of each class, by annotation, how many were taken for which label. Labels "
        "beyond the most frequent of a class are in confusions.csv. Nothing is tested here."
    )
    blocks = (
        block
        for policy, rows in grouped(results.confusions, lambda row: row.policy).items()
        for block in _confusions_of_one(policy_title(results, policy), rows)
    )
    yield from systems_folded(results, f"Labels of each {results.header.noun}", blocks)


def _confusions_of_one(title: str, rows: Sequence[Confusion]) -> Iterator[Block]:
    """Yields the labels that images of each class were taken for under one policy."""
    by_feature = grouped(rows, lambda row: row.by)
    if whole := by_feature.pop(OVERALL, []):
        yield _confusion_table(f"All images, {title}", whole)
    for by, own in by_feature.items():
        wrong = [row for row in own if not row.right]
        if wrong:
            yield folded(_confusion_table(f"Wrong labels by {by}, {title}", wrong))


def _confusion_table(caption: str, rows: Sequence[Confusion]) -> Table:
    lines = []
    for own in grouped(rows, lambda row: (row.group, row.y_true)).values():
        most = sorted(own, key=lambda row: -row.count)[:_LISTED]
        lines += [_confusion_cells(row) for row in most]
    return table(caption, _COLUMNS, lines)


def _confusion_cells(row: Confusion) -> list[Cell]:
    said = words(row.label, *(() if row.right else (" ", Tag("wrong", "few"))))
    name = head(row.y_true) if row.by == OVERALL else group_head(row.by, row.group, row.y_true)
    counted = count_of(row.count, row.n)
    if row.support == "suppressed":
        return [name, said, stacked(counted, support_mark(row.support), tone="few")]
    rate = rate_line(row.share, row.low, row.high)
    return [name, said, stacked(rate, marked_line(counted, row.support))]
