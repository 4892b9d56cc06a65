"""Flag rates over thresholds: a small panel for each group, with the overall rate behind it."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

from matplotlib.lines import Line2D

from audit.report.names import distinct, short
from audit.report.plots.canvas import (
    BLUE,
    GREY,
    PALE,
    TEXT,
    inline_svg,
    percent_axis,
    sheet,
)
from audit.results.ablation_rows import Threshold

_PANEL, _FRAME = 84.0, 66.0


def ribbons(
    rows: Sequence[Threshold], overall: Sequence[Threshold], *, key: str, title: str
) -> str:
    """Returns the flag rate of each group over one threshold for all labels that flag.

    Args:
        rows: of one policy and sensitive feature.
        overall: of the whole dataset.
        key: the figure's own id.
        title: what it is.
    """
    groups = distinct(row.group for row in rows if row.support != "suppressed")
    height = max(1, ceil(len(groups) / 2))
    with sheet(_FRAME + _PANEL * height) as figure:
        panels = figure.subplots(height, 2, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, group in zip(panels, groups, strict=False):
            _panel(axes, [row for row in rows if row.group == group], overall)
            axes.set_title(short(group, 22), fontsize=TEXT, loc="left", pad=3)
        for axes in panels[len(groups) :]:
            axes.set_axis_off()
        _finish(figure, panels)
        return inline_svg(figure, key, title, _in_words(rows, groups))


def _panel(axes: Any, rows: Sequence[Threshold], overall: Sequence[Threshold]) -> None:
    line = _along([row for row in overall if row.threshold > 0])
    axes.plot(*line, color=GREY, linewidth=1.1, linestyle=(0, (4, 2)))
    own = sorted(
        (row for row in rows if row.rate is not None and row.threshold > 0),
        key=lambda row: row.threshold,
    )
    x = [row.threshold for row in own]
    lows, highs = [row.low for row in own], [row.high for row in own]
    axes.fill_between(x, lows, highs, color=BLUE, alpha=0.25, linewidth=0)
    dashes = "-" if all(row.support == "full" for row in own) else (0, (2, 1.5))
    axes.plot(*_along(own), color=BLUE, linewidth=1.6, linestyle=dashes)
    axes.set_xscale("log")
    axes.grid(color=PALE, linewidth=0.7)


def _along(rows: Sequence[Threshold]) -> tuple[list[float], list[float | None]]:
    ordered = sorted(rows, key=lambda row: row.threshold)
    return [row.threshold for row in ordered], [row.rate for row in ordered]


def _finish(figure: Any, panels: Any) -> None:
    for axes in panels:
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda _value, _: "")
        axes.set_ylim(bottom=0)
        percent_axis(axes.yaxis)
    figure.supxlabel("threshold of every label that flags (log scale)", fontsize=TEXT)
    figure.supylabel("% flagged", fontsize=TEXT)
    handles = [
        Line2D([], [], color=BLUE, lw=1.6, label="group, with interval"),
        Line2D([], [], color=GREY, lw=1.1, ls=(0, (4, 2)), label="overall"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2)


def _in_words(rows: Sequence[Threshold], groups: Sequence[str]) -> str:
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
