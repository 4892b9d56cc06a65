"""Rates before and after, joined by a line: who moved, how far, which way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.lines import Line2D

from audit.metrics.rates import MISCLASSIFIED
from audit.report.plots import canvas
from audit.report.shown_numbers import points
from audit.results.ablation_rows import Ablation
from audit.results.rows import Shift

#: What an ablation changes is drawn like a shift.
Change = Shift | Ablation

_LINE, _FRAME = 22.0, 88.0

#: A ring, and a square that fits into it, so that both are seen where nothing changed.
_BEFORE: dict[str, Any] = {"marker": "o", "ms": 9.5, "mew": 1.5, "mfc": "w", "mec": canvas.BLUE}
_AFTER: dict[str, Any] = {"marker": "s", "ms": 4.5, "mew": 1.0, "color": canvas.ORANGE}


def dumbbell(shifts: Sequence[Change], *, before: str, after: str, key: str, title: str) -> str:
    """Returns a dumbbell plot of one sensitive feature and metric.

    Args:
        shifts: one of each group.
        before: what the legend calls the first policy.
        after: what it calls the second.
        key: the figure's own id.
        title: what it is.
    """
    names = [canvas.wrapped(shift.group, 18) for shift in shifts]
    called = [canvas.wrapped(policy, 42) for policy in (before, after)]
    line = max(_LINE, canvas.LEADING * canvas.most_lines(names) + 6)
    legend = canvas.LEADING * ("\n".join(called).count("\n") + 1)
    with canvas.sheet(_FRAME + line * len(shifts) + legend) as figure:
        axes = figure.add_subplot()
        for place, shift in enumerate(shifts):
            _draw_dumbbell(axes, shift, place)
        _finish_dumbbells(axes, shifts, names)
        handles = [
            Line2D([], [], label=name, ls="", **mark)
            for name, mark in zip(called, (_BEFORE, _AFTER), strict=True)
        ]
        above = "outside upper left"
        figure.legend(handles=handles, loc=above, handletextpad=0.2, labelspacing=0.3)
        return canvas.inline_svg(figure, key, title, _dumbbells_in_words(shifts, before, after))


def _draw_dumbbell(axes: Any, shift: Change, place: int) -> None:
    if shift.before is None or shift.after is None or shift.support == "suppressed":
        canvas.note(axes, f"too few: n = {shift.n:,}", place)
        return
    ends, places = [shift.before, shift.after], [place, place]
    line = "-" if shift.support == "full" else (0, (2, 1.5))
    axes.plot(ends, places, color=canvas.GREY, lw=2, ls=line, zorder=2)
    # Whole marks where a rate is 0, beyond the edge of the axes.
    axes.plot([shift.before], [place], ls="", **_BEFORE, zorder=3, clip_on=False)
    axes.plot([shift.after], [place], ls="", **_AFTER, zorder=4, clip_on=False)
    net = points(shift.net).text + (" *" if shift.claim else "")
    axes.annotate(
        net,
        (1, place),
        (4, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        va="center",
        color=canvas.INK,
        fontsize=canvas.SMALL,
        weight="bold" if shift.claim else "normal",
    )


def _finish_dumbbells(axes: Any, shifts: Sequence[Change], names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", pad=8)  # past the ring of a rate of 0
    axes.set_ylim(len(shifts) - 0.5, -0.5)
    rates = [r for s in shifts if s.support != "suppressed" for r in (s.before, s.after) if r]
    axes.set_xlim(0, max(rates, default=1) * 1.06)
    counts = _counted({shift.metric for shift in shifts})
    axes.set_xlabel(f"% {counts}; at the right,\nthe net change in points", loc="right")
    canvas.lined_axes(axes, grid="both")


def _counted(metrics: set[str]) -> str:
    """Returns what rates of some metrics count."""
    if metrics == {MISCLASSIFIED}:
        return "misclassified"
    labels = all(metric.startswith("label:") for metric in metrics)
    return "resembling it" if labels else "flagged"


def _dumbbells_in_words(shifts: Sequence[Change], before: str, after: str) -> str:
    parts = [
        f"{shift.group} from {100 * (shift.before or 0):.2f} to {100 * (shift.after or 0):.2f} "
        f"percent, net {points(shift.net).text} points"
        + (", stands after correction" if shift.claim else "")
        for shift in shifts
        if shift.support != "suppressed" and shift.before is not None and shift.after is not None
    ]
    return f"From {before} to {after}: " + "; ".join(parts or ["no group has enough images"]) + "."
