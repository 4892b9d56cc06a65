"""The power of an audit: what it could have seen, and what had too little data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from audit.report.blocks import Block, Fold, Heading, Points, Table, paragraph, table
from audit.report.cells import Cell, group_head, size_cell, stacked, withheld, words
from audit.report.grouping import grouped, is_crossed
from audit.report.inline import quoted_line
from audit.report.names import policy_title
from audit.report.sections.many_systems import systems_folded
from audit.report.shown_numbers import percent, unsigned_points
from audit.results.results import Results
from audit.results.rows import Power

_LISTED = 12


def power_section(results: Results) -> Iterator[Block]:
    """Yields the smallest difference that each group would show, and what had too little data."""
    shown = [row for row in results.power if not is_crossed(row.by)]
    if shown:
        yield paragraph(
            "The smallest rise above the rate of all other images that would be claimed in about "
            "four of five such audits, for a group of its size. No claim on a group does not mean "
            "that there is none: a smaller disparity would seldom have been seen."
        )
        tables = [_power_table(results, shown)]
        yield from systems_folded(results, "Smallest difference that each group would show", tables)
    if results.insufficient:
        yield Heading("Too little data")
        yield from _without_power(results.insufficient)
    if results.not_tried:
        yield Heading("Not tried")
        yield from _without_power(results.not_tried)


def _power_table(results: Results, rows: Sequence[Power]) -> Table:
    policies = list(dict.fromkeys(row.policy for row in rows))
    lines = []
    for (by, group), own in grouped(rows, lambda row: (row.by, row.group)).items():
        found = {row.policy: row for row in own}
        cells = (_power_cell(found.get(policy)) for policy in policies)
        lines.append([group_head(by, group), size_cell(own[0].n, own[0].support), *cells])
    columns = ["Group", "n", *(f"{policy_title(results, name)}, points" for name in policies)]
    return table("Smallest difference that each group would show", columns, lines)


def _power_cell(row: Power | None) -> Cell:
    if row is None:
        return words("not in it")
    if row.support == "suppressed":
        return withheld()
    return stacked(
        (unsigned_points(row.smallest_difference),), ("at a rate of ", percent(row.rate))
    )


def _without_power(texts: Sequence[str]) -> Iterator[Block]:
    """Yields lists of what had too little data, the first items unfolded."""
    yield Points(tuple(map(quoted_line, texts[:_LISTED])))
    if rest := tuple(map(quoted_line, texts[_LISTED:])):
        yield Fold("The rest of what had too little data", (Points(rest),))
