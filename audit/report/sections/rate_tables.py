"""Tables of rates: a row for each group, a column for each policy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from audit.report.document import Cell, Table, head, table, words
from audit.report.names import OVERALL, distinct, metric_name, title
from audit.report.shown import rate_cell
from audit.results.results import Results
from audit.results.rows import Rate


def policies_of(results: Results, rates: Iterable[Rate]) -> list[str]:
    """Returns the policies that have rows, in the order of the header and then of the rows."""
    present = distinct(rate.policy for rate in rates)
    known = [policy.name for policy in results.header.policies if policy.name in present]
    return distinct([*known, *present])


def by_group(results: Results, caption: str, rates: Sequence[Rate]) -> Table:
    """Returns one metric's rates: each group in its row, each policy in its column."""
    policies = policies_of(results, rates)
    found = {(rate.group, rate.policy): rate for rate in rates}
    groups = distinct(rate.group for rate in rates)
    rows = [[head(_group(group)), *_cells(found, group, policies)] for group in groups]
    return table(caption, ["Group", *(title(results, name) for name in policies)], rows)


def by_metric_and_group(results: Results, caption: str, rates: Sequence[Rate]) -> Table:
    """Returns several metrics' rates in one table."""
    policies = policies_of(results, rates)
    rows = []
    for metric in distinct(rate.metric for rate in rates):
        own = [rate for rate in rates if rate.metric == metric]
        found = {(rate.group, rate.policy): rate for rate in own}
        for group in distinct(rate.group for rate in own):
            cells = _cells(found, group, policies)
            rows.append([head(metric_name(metric)), words(_group(group)), *cells])
    columns = ["Rate", "Group", *(title(results, name) for name in policies)]
    return table(caption, columns, rows)


def by_metric(results: Results, caption: str, name: str, rates: Sequence[Rate]) -> Table:
    """Returns several metrics' rates in the whole dataset."""
    policies = policies_of(results, rates)
    found = {(rate.metric, rate.policy): rate for rate in rates}
    metrics = distinct(rate.metric for rate in rates)
    rows = [
        [
            head(metric_name(metric) if name == "Rate" else metric.partition(":")[2]),
            *_cells(found, metric, policies),
        ]
        for metric in metrics
    ]
    return table(caption, [name, *(title(results, policy) for policy in policies)], rows)


def _group(group: str) -> str:
    return "All images" if group == OVERALL else group


def _cells(found: dict[tuple[str, str], Rate], row: str, policies: Sequence[str]) -> Iterable[Cell]:
    for policy in policies:
        rate = found.get((row, policy))
        yield words("not in it") if rate is None else rate_cell(rate)
