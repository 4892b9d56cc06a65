"""What the benchmark of accuracy found, as tables for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from rich.table import Table

from audit.evaluation.evaluate import Evaluation
from audit.evaluation.measures import Estimated, Measure
from audit.evaluation.pairs import PairedMeasure
from benchmarks import program
from benchmarks.accuracy_gaps import METRICS


def accuracy_table(found: Evaluation) -> Table:
    """Returns how right each side is in all, and in each category of which an image is known."""
    heads = ("recall", "precision", "false flags", "average precision", "ROC area")
    title = f"{found.n} images, of which {found.must_pass} must pass"
    table = program.new_table(("side", "what", "at least"), heads, title)
    last = ""
    for row in found.measures:
        if row.kind == "label" or (row.kind == "category" and not row.positives):
            continue
        name = "anything" if row.kind == "action" else row.name
        side = row.system if row.system != last else ""
        table.add_row(side, name, row.at, *_cells(row))
        last = row.system
    return table


def _cells(row: Measure) -> list[str]:
    flagged = row.hits + row.false_flags
    return [
        _in_cell(row.recall, f"{row.hits}/{row.positives}"),
        _in_cell(row.precision, f"{row.hits}/{flagged}"),
        _in_cell(row.false_flag_rate, f"{row.false_flags}/{row.negatives}"),
        _in_cell(row.average_precision),
        _in_cell(row.roc_auc),
    ]


def _in_cell(figure: Estimated, counts: str = "") -> str:
    """Returns a figure with its interval in percent; a dash where it is undefined."""
    if figure.value is None or np.isnan(figure.value):
        return "-"
    return f"{counts} {_percents(figure.value, figure.low, figure.high)}".strip()


def _percents(value: float, low: float | None, high: float | None) -> str:
    ends = (f"{100 * each:.1f}" for each in (low, high) if each is not None)
    return f"{100 * value:.1f} % ({' to '.join(ends)})"


def pairs_table(rows: Iterable[PairedMeasure]) -> Table:
    """Returns by how much two sides differ on the same images, in figures that are tested."""
    heads = ("first", "second", "difference", "p, corrected")
    table = program.new_table(("two sides", "what", "figure"), heads, "Differences, second - first")
    for row in rows:
        if row.kind != "label" and row.p is not None:
            table.add_row(f"{row.first} | {row.second}", *_pair_cells(row))
    table.caption, table.caption_justify = "* claimed: p below 0.05 after Holm's correction", "left"
    return table


def _pair_cells(row: PairedMeasure) -> list[str]:
    what = "anything" if row.kind == "action" else row.name
    ends = [
        "-" if each is None else f"{100 * each:.1f} %"
        for each in (row.first_value, row.second_value)
    ]
    apart = _percents(row.difference or 0.0, row.low, row.high).replace(" %", "", 1)
    p = "" if row.p_adjusted is None else f"{row.p_adjusted:.2g}{' *' * row.claim}"
    return [f"{what}, {row.at}", row.measure.replace("_", " "), *ends, apart, p]


def gaps_table(rows: Iterable[dict[str, Any]]) -> Table:
    """Returns the widest gap between two groups, by side, sensitive feature and rate."""
    heads = ("highest", "lowest", "gap", "p, corrected")
    table = program.new_table(("side", "by", "rate of"), heads, "Widest gaps between groups")
    for row in rows:
        ends = [
            f"{row[end]} {row[f'{end}_count']}/{row[f'{end}_n']}" if row[end] else "-"
            for end in ("worst", "best")
        ]
        gap = _percents(row["difference"], row["difference_low"], row["difference_high"])
        known = not np.isnan(row["difference"])
        cells = (gap, f"{row['p_holm']:.2g}") if known else ("too few images", "")
        table.add_row(row["policy"], row["by"], METRICS[row["metric"]], *ends, *cells)
    return table
