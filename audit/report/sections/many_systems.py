"""Rates where a report is of many systems: a row for each of them, and a column for each group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from audit.report.blocks import Block, Figure, Figures, Fold, Table, folded, table
from audit.report.cells import Cell, head, rate_cell, words
from audit.report.grouping import grouped
from audit.report.names import harm_name, metric_name
from audit.report.plots.forest import forest
from audit.results.results import Results
from audit.results.rows import Rate

#: More groups than this make no colours of a plot, or no columns of a table.
_DRAWN, _COLUMNS = 3, 8


def systems_folded(results: Results, summary: str, blocks: Iterable[Block]) -> Iterator[Block]:
    """Yields blocks of which each system has its own, in one fold where there are many systems."""
    made = tuple(blocks)
    if results.header.is_of_many and made:
        yield Fold(summary, made)
    else:
        yield from made


def systems_table(
    caption: str, rates: Sequence[Rate], column: Callable[[Rate], str], noun: str
) -> Table:
    """Returns a table with a row for each system, and a column for each of its rates."""
    columns = list(dict.fromkeys(map(column, rates)))
    rows: list[list[Cell]] = []
    for name, own in grouped(rates, lambda rate: rate.policy).items():
        found = {column(rate): rate for rate in own}
        cells = (rate_cell(found[each]) if each in found else words("") for each in columns)
        rows.append([head(name), *cells])
    return table(caption, (noun.capitalize(), *columns), rows)


def systems_blocks_by_feature(
    results: Results, by: str, rates: Sequence[Rate], place: int
) -> Iterator[Block]:
    """Yields the harm by group under many systems, as a plot where groups are few, and a table."""
    harm, noun = results.header.harm, results.header.noun
    groups = list(dict.fromkeys(rate.group for rate in rates))
    by_metric = grouped(rates, lambda rate: rate.metric)
    main = by_metric.pop(harm, [])
    if len(groups) <= _DRAWN and main:
        yield Figures((_forest_of_systems(results, by, main, place),))
    if len(groups) > _COLUMNS:
        return  # rates.csv has them
    name = f"{harm_name(results)} by {by}"
    if main:
        yield folded(systems_table(name, main, lambda rate: rate.group, noun), in_markdown=True)
    for metric, own in by_metric.items():
        caption = f"{metric_name(metric)} by {by}"
        yield folded(systems_table(caption, own, lambda rate: rate.group, noun))


def _forest_of_systems(results: Results, by: str, rates: Sequence[Rate], place: int) -> Figure:
    """Returns a plot with a line for each system, and a colour for each group."""
    turned = [
        rate.model_copy(update={"group": rate.policy, "policy": rate.group}) for rate in rates
    ]
    ends = [rate.high or 0 for rate in rates if rate.support != "suppressed"]
    name = f"{harm_name(results)} by {by}"
    groups = dict.fromkeys(rate.group for rate in rates)
    svg = forest(
        turned,
        [],
        {group: f"{by} {group}" for group in groups},
        highest=max(ends, default=0),
        key=f"systems-{place}",
        title=name,
    )
    nouns = results.header.nouns
    return Figure(svg, f"{name}, a line for each of {len(rates) // len(groups):,} {nouns}.")
