"""Rates of an intersection of two sensitive features, as a field of cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.patches import Rectangle

from audit.datasets.groups import CROSS
from audit.plurals import agreeing, counted
from audit.report.plots import canvas
from audit.report.plots.in_words import ends_in_words
from audit.results.rows import Rate

#: With more columns the numbers do not fit into the cells; with more than six, no decimals do.
_MOST_COLUMNS, _WIDE_COLUMNS = 9, 6
_ROW, _FRAME = 28.0, 64.0

#: All columns together: how many characters fit side by side, and how many lines that are turned.
_ACROSS, _TURNED = 36, 17

#: So deep a blue leaves dark numbers legible.
_DEEPEST = 0.6

_LEGEND = """% of images; (in brackets): indicative, n < 100
–: too few for a rate, n < 30; blank: none"""

Cells = Mapping[tuple[str, str], Rate]


def heatmap_cells(rates: Sequence[Rate]) -> Cells | None:
    """Returns the rates by their two values; None where a value contains the sign between them."""
    parts = [(tuple(rate.group.split(CROSS)), rate) for rate in rates]
    if any(len(values) != 2 for values, _ in parts):
        return None
    return {(values[0], values[1]): rate for values, rate in parts}


def has_heatmap_rate(rate: Rate) -> bool:
    """Returns whether a cell has enough images to show its rate."""
    return rate.support != "suppressed" and rate.rate is not None


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
    names = [canvas.wrapped(name, 18) for name in rows]
    heads, turned = _heatmap_heads(columns)
    row = max(_ROW, canvas.LEADING * canvas.most_lines(names) + 4)
    longest = max((len(line) for head in heads for line in head.split("\n")), default=0)
    above = 7.2 * longest if turned else canvas.LEADING * canvas.most_lines(heads)
    with canvas.sheet(_FRAME + row * len(rows) + above) as figure:
        axes = figure.add_subplot()
        for (a, b), rate in cells.items():
            spot = (columns.index(b), rows.index(a))
            _draw_heatmap_cell(axes, rate, spot, highest, len(columns))
        _finish_heatmap(axes, names, heads, turned)
        return canvas.inline_svg(figure, key, title, _heatmap_in_words(rates))


def _heatmap_heads(columns: Sequence[str]) -> tuple[list[str], bool]:
    """Returns the names of columns as they fit, and whether they are turned to be whole."""
    width = _ACROSS // max(len(columns), 1)
    if all(len(word) <= width for name in columns for word in name.split()):
        return [canvas.wrapped(name, width) for name in columns], False
    return [canvas.wrapped(name, 24, max(_TURNED // len(columns), 1)) for name in columns], True


def _draw_heatmap_cell(
    axes: Any, rate: Rate, spot: tuple[int, int], highest: float, columns: int
) -> None:
    shown = has_heatmap_rate(rate)
    depth = 0.04 + (_DEEPEST - 0.04) * (rate.rate or 0) / (highest or 1)
    colour = mpl.colormaps["Blues"](depth)[:3] if shown else "#f6f7f8"
    axes.add_patch(Rectangle(spot, width=1, height=1, facecolor=colour, edgecolor="white"))
    if columns > _MOST_COLUMNS:
        return
    indicative = shown and rate.support == "indicative"
    axes.text(
        spot[0] + 0.5,
        spot[1] + 0.5,
        _heatmap_number(rate, columns) if shown else "–",
        ha="center",
        va="center",
        fontsize=canvas.SMALL,
        style="italic" if indicative else "normal",
        color=canvas.INK if shown else canvas.GREY,
    )


def _heatmap_number(rate: Rate, columns: int) -> str:
    """Returns what a cell shows: in brackets what is indicative, as tables of statistics do."""
    share = 100 * (rate.rate or 0)
    number = f"{share:.1f}" if share < 9.95 or columns <= _WIDE_COLUMNS else f"{share:.0f}"
    return f"({number})" if rate.support == "indicative" else number


def _finish_heatmap(axes: Any, rows: Sequence[str], columns: Sequence[str], turned: bool) -> None:
    axes.set_xlim(0, max(len(columns), 1))
    axes.set_ylim(max(len(rows), 1), 0)
    axes.set_xticks([i + 0.5 for i in range(len(columns))], columns)
    axes.set_yticks([i + 0.5 for i in range(len(rows))], rows)
    axes.xaxis.tick_top()
    if turned:
        axes.tick_params(axis="x", labelrotation=90)
    axes.tick_params(length=0)
    axes.set_facecolor("white")
    for side in axes.spines.values():
        side.set_edgecolor(canvas.PALE)
        side.set_visible(True)
    axes.set_xlabel(_LEGEND, color=canvas.GREY, fontsize=canvas.SMALL, loc="right")
    axes.xaxis.set_label_position("bottom")


def _heatmap_in_words(rates: Sequence[Rate]) -> str:
    shown = [rate for rate in rates if has_heatmap_rate(rate)]
    few = len(rates) - len(shown)
    if not shown:
        return "No cell has 30 images, so none shows a rate."
    ends = ends_in_words(shown)
    said = f"{ends[:1].upper()}{ends[1:]}."
    if not few:
        return said
    cells = f"{counted(few, 'cell')} {agreeing(few, 'has', 'have')}"
    return f"{said} {cells} too few images to show a rate."
