"""What the benchmark of accuracy found, as tables for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from rich.table import Table

from audit.evaluation import Evaluation
from audit.evaluation.figures import MeasuredFigure, TargetFigures
from audit.evaluation.paired import PairedDifference
from audit.evaluation.sentences import metric_words
from benchmarks import program
from benchmarks.accuracy_gaps import METRICS


def accuracy_table(found: Evaluation) -> Table:
    """Returns how right each side is in all, and in each category of which an image is known."""
    heads = ("recall", "precision", "false flags", "average precision", "ROC area")
    table = program.new_table(("side", "what"), heads, f"{found.n} images")
    last = ""
    for row in found.figures:
        if row.kind == "label" or (row.kind == "category" and not row.positives):
            continue
        side = row.system if row.system != last else ""
        table.add_row(side, row.name, *_cells(row))
        last = row.system
    return table


def _cells(row: TargetFigures) -> list[str]:
    own = row.decisions[0]
    hits, false = own.true_positives, own.false_positives
    return [
        _in_cell(own.recall, f"{hits}/{row.positives}"),
        _in_cell(own.precision, f"{hits}/{hits + false}"),
        _in_cell(own.false_flag_rate, f"{false}/{row.negatives}"),
        _in_cell(row.average_precision),
        _in_cell(row.roc_area),
    ]


def _in_cell(figure: MeasuredFigure, counts: str = "") -> str:
    """Returns a figure with its interval in percent; a dash where it is undefined."""
    if figure.value is None or np.isnan(figure.value):
        return "-"
    return f"{counts} {_percents(figure.value, figure.low, figure.high)}".strip()


def _percents(value: float, low: float | None, high: float | None) -> str:
    ends = (f"{100 * each:.1f}" for each in (low, high) if each is not None)
    return f"{100 * value:.1f} % ({' to '.join(ends)})"


def pairs_table(rows: Iterable[PairedDifference]) -> Table:
    """Returns by how much each side differs from the first, in figures that are tested."""
    heads = ("higher by", "p, corrected")
    table = program.new_table(("side", "than", "what", "figure"), heads, "On the same images")
    for row in rows:
        if row.kind != "label" and row.p is not None:
            table.add_row(row.system, row.reference, *_pair_cells(row))
    table.caption, table.caption_justify = "* claimed: p below 0.05 after Holm's correction", "left"
    return table


def _pair_cells(row: PairedDifference) -> list[str]:
    apart = _percents(row.difference or 0.0, row.low, row.high).replace(" %", " points", 1)
    p = "too few" if row.p_adjusted is None else f"{row.p_adjusted:.2g}{' *' * row.claim}"
    return [row.name, metric_words(row.metric), apart, p]


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
