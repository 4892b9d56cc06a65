"""Rates of an intersection of two sensitive features, as a field of cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.patches import Rectangle

from audit.datasets.dataset import CROSS
from audit.report.plots import canvas
from audit.results.rows import Rate

#: With more columns the numbers do not fit into the cells.
_MOST_COLUMNS = 9
_ROW, _FRAME = 26.0, 46.0

Cells = Mapping[tuple[str, str], Rate]


def heatmap_cells(rates: Sequence[Rate]) -> Cells | None:
    """Returns the rates by their two values; None where a value contains the sign between them."""
    parts = [(tuple(rate.group.split(CROSS)), rate) for rate in rates]
    if any(len(values) != 2 for values, _ in parts):
        return None
    return {(values[0], values[1]): rate for values, rate in parts}


def heatmap(rates: Sequence[Rate], highest: float, *, key: str, title: str) -> str:
    """Returns a heat map of one policy's rates in the groups of two sensitive features.

    Args:
        rates: of each group that has an image; others stay blank.
        highest: the rate of the darkest cell, so that several maps share one scale.
        key: the figure's own id.
        title: what it is.
    """
    cells = heatmap_cells(rates) or {}
    rows, columns = (list(dict.fromkeys(pair[side] for pair in cells)) for side in (0, 1))
    if len(columns) > len(rows):
        cells = {(b, a): rate for (a, b), rate in cells.items()}
        rows, columns = columns, rows
    longest = max((len(canvas.short(name, 16)) for name in columns), default=0)
    turned = len(columns) > 3
    with canvas.sheet(_FRAME + _ROW * len(rows) + (5.4 * longest if turned else 8)) as figure:
        axes = figure.add_subplot()
        for (row, column), rate in cells.items():
            spot = (columns.index(column), rows.index(row))
            _draw_heatmap_cell(axes, rate, spot, highest, write=len(columns) <= _MOST_COLUMNS)
        _finish_heatmap(axes, rows, columns, turned)
        return canvas.inline_svg(figure, key, title, _heatmap_in_words(rates))


def _draw_heatmap_cell(
    axes: Any, rate: Rate, spot: tuple[int, int], highest: float, *, write: bool
) -> None:
    x, y = spot
    few = rate.support == "suppressed" or rate.rate is None
    depth = 0.04 + 0.9 * (rate.rate or 0) / (highest or 1)
    colour = (0.95, 0.95, 0.95) if few else mpl.colormaps["Blues"](min(depth, 1.0))[:3]
    axes.add_patch(
        Rectangle(
            spot,
            width=1,
            height=1,
            facecolor=colour,
            edgecolor="#a3abb2" if few else "white",
            hatch="////" if few else None,
            linewidth=0 if few else 1,
        )
    )
    if few or not write:
        return
    mark, style = ("°", "italic") if rate.support == "indicative" else ("", "normal")
    axes.text(
        x + 0.5,
        y + 0.5,
        f"{100 * (rate.rate or 0):.1f}{mark}",
        ha="center",
        va="center",
        fontsize=canvas.SMALL,
        style=style,
        color="white" if depth > 0.55 else canvas.INK,
    )


def _finish_heatmap(axes: Any, rows: Sequence[str], columns: Sequence[str], turned: bool) -> None:
    axes.set_xlim(0, max(len(columns), 1))
    axes.set_ylim(max(len(rows), 1), 0)
    axes.set_xticks([i + 0.5 for i in range(len(columns))], [canvas.short(c, 16) for c in columns])
    axes.set_yticks([i + 0.5 for i in range(len(rows))], [canvas.short(row, 16) for row in rows])
    axes.xaxis.tick_top()
    if turned:
        axes.tick_params(axis="x", labelrotation=90)
    axes.tick_params(length=0)
    axes.set_facecolor("white")
    for side in axes.spines.values():
        side.set_edgecolor(canvas.PALE)
        side.set_visible(True)
    legend = "% flagged; hatched: too few; °: indicative; blank: none"
    axes.set_xlabel(legend, color=canvas.GREY, fontsize=canvas.SMALL, loc="right")
    axes.xaxis.set_label_position("bottom")


def _heatmap_in_words(rates: Sequence[Rate]) -> str:
    shown = [rate for rate in rates if rate.rate is not None and rate.support != "suppressed"]
    if not shown:
        return "No cell has 30 images, so none shows a rate."
    high, low = (pick(shown, key=lambda rate: rate.rate or 0.0) for pick in (max, min))
    return (
        f"Highest: {high.group}, {100 * (high.rate or 0):.2f} percent of {high.n:,}. "
        f"Lowest: {low.group}, {100 * (low.rate or 0):.2f} percent of {low.n:,}. "
        f"{len(rates) - len(shown)} cells are hatched: they have too few images."
    )
