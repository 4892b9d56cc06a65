"""Flag rates over thresholds: a small panel for each group, with the overall rate behind it."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from audit.report.plots import canvas
from audit.results.ablation_rows import Threshold

_PANEL, _FRAME = 80.0, 74.0
_GROUP: dict[str, Any] = {"color": canvas.BLUE, "lw": 1.6}
_OVERALL: dict[str, Any] = {"color": canvas.GREY, "lw": 1.1, "ls": (0, (4, 2))}


def threshold_curves(
    rows: Sequence[Threshold], overall: Sequence[Threshold], *, key: str, title: str
) -> str:
    """Returns the flag rate of each group over one threshold for all labels that flag.

    Args:
        rows: of one policy and sensitive feature.
        overall: of the whole dataset.
        key: the figure's own id.
        title: what it is.
    """
    groups = list(dict.fromkeys(row.group for row in rows if row.support != "suppressed"))
    names = [canvas.wrapped(group, 18) for group in groups]
    height = max(1, ceil(len(groups) / 2))
    panel = _PANEL + canvas.LEADING * canvas.most_lines(names)
    with canvas.sheet(_FRAME + panel * height) as figure:
        panels = figure.subplots(height, 2, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, group, name in zip(panels, groups, names, strict=False):
            _draw_curves(axes, [row for row in rows if row.group == group], overall)
            axes.set_title(name, fontsize=canvas.TEXT, loc="left", pad=3)
        for axes in panels[len(groups) :]:
            axes.set_axis_off()
        _finish_curves(figure, panels)
        return canvas.inline_svg(figure, key, title, _curves_in_words(rows, groups))


def _draw_curves(axes: Any, rows: Sequence[Threshold], overall: Sequence[Threshold]) -> None:
    behind, own = _curve_points(overall), _curve_points(rows)
    axes.plot([row.threshold for row in behind], [row.rate for row in behind], **_OVERALL)
    x = [row.threshold for row in own]
    lows, highs = [row.low for row in own], [row.high for row in own]
    axes.fill_between(x, lows, highs, color=canvas.BLUE, alpha=0.25, linewidth=0)
    dashes = "-" if all(row.support == "full" for row in own) else (0, (2, 1.5))
    axes.plot(x, [row.rate for row in own], **_GROUP, ls=dashes)
    axes.set_xscale("log")
    axes.grid(color=canvas.PALE, linewidth=0.7)


def _curve_points(rows: Sequence[Threshold]) -> list[Threshold]:
    """Returns the rows that a curve goes through; zero has no place on a log scale."""
    drawn = (row for row in rows if row.rate is not None and row.threshold > 0)
    return sorted(drawn, key=lambda row: row.threshold)


def _finish_curves(figure: Any, panels: Any) -> None:
    for axes in panels:
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_ylim(bottom=0)
        canvas.percent_axis(axes.yaxis)
    figure.supxlabel("threshold of every label that flags (log scale)", fontsize=canvas.TEXT)
    figure.supylabel("% flagged", fontsize=canvas.TEXT)
    handles = [
        Line2D([], [], label="group, with interval", **_GROUP),
        Line2D([], [], label="overall", **_OVERALL),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2)


def _curves_in_words(rows: Sequence[Threshold], groups: Sequence[str]) -> str:
    parts = []
    for group in groups:
        own = [row for row in rows if row.group == group and row.rate is not None]
        if own:
            first, last = (pick(own, key=lambda row: row.threshold) for pick in (min, max))
            parts.append(
                f"{group}: {100 * (first.rate or 0):.2f} percent at {first.threshold:g}, "
                f"{100 * (last.rate or 0):.2f} percent at {last.threshold:g}"
            )
    return "Flag rate by threshold. " + "; ".join(parts or ["No group has 30 images"]) + "."
