"""Mean gaps over wordings with their intervals, and how far one wording may be from the mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.lines import Line2D

from audit.report.plots import canvas
from audit.results.ablation_rows import WordingGap
from audit.results.formatting import points

_LINE, _FRAME = 26.0, 110.0

#: The mean, the policy's own wording, and the range of single wordings.
_MEAN: dict[str, Any] = {"marker": "o", "ms": 6.0, "color": canvas.BLUE}
_OWN: dict[str, Any] = {"marker": "D", "ms": 5.5, "mew": 1.3, "mfc": "w", "mec": canvas.ORANGE}
_RANGE: dict[str, Any] = {"color": canvas.ORANGE, "lw": 4.0, "alpha": 0.35}


def wording_ranges(gaps: Sequence[WordingGap], *, key: str, title: str) -> str:
    """Returns a plot of mean gaps over the wordings of one kind.

    Args:
        gaps: one of each pair of groups, each with an interval over wordings.
        key: the figure's own id.
        title: what it is.
    """
    names = [
        f"{canvas.wrapped(gap.group, 18)} –\n{canvas.wrapped(gap.reference, 18)}" for gap in gaps
    ]
    line = max(_LINE, canvas.LEADING * canvas.most_lines(names) + 4)
    with canvas.sheet(_FRAME + line * len(gaps)) as figure:
        axes = figure.add_subplot()
        axes.axvline(0, color=canvas.GREY, lw=1, zorder=1)
        for place, gap in enumerate(gaps):
            _draw_wording_range(axes, gap, place)
        axes.set_yticks(range(len(gaps)), names)
        axes.set_ylim(len(gaps) - 0.5, -0.5)
        axes.set_xlabel("gap in the share flagged, points", loc="right")
        canvas.lined_axes(axes)
        handles = [
            Line2D([], [], label="mean, with its interval over wordings and images", **_MEAN),
            Line2D([], [], label="with one wording, lowest to highest", **_RANGE),
            Line2D([], [], label="with the policy's own wording", ls="", **_OWN),
        ]
        figure.legend(handles=handles, loc="outside upper left", labelspacing=0.3)
        return canvas.inline_svg(figure, key, title, _wording_ranges_in_words(gaps))


def _draw_wording_range(axes: Any, gap: WordingGap, place: int) -> None:
    places = [place, place]
    axes.plot([gap.lowest, gap.highest], places, **_RANGE, zorder=2)
    style = "-" if gap.support == "full" else (0, (2, 1.5))
    axes.plot([gap.low, gap.high], places, color=canvas.BLUE, lw=1.4, ls=style, zorder=3)
    axes.plot([gap.own], [place], ls="", **_OWN, zorder=4)
    axes.plot([gap.mean], [place], ls="", **_MEAN, zorder=5)


def _wording_ranges_in_words(gaps: Sequence[WordingGap]) -> str:
    parts = [
        f"{gap.group} over {gap.reference}: {points(gap.mean)} points on average, "
        f"interval {points(gap.low)} to {points(gap.high)}, {points(gap.lowest)} to "
        f"{points(gap.highest)} with one wording, {points(gap.own)} with the policy's own"
        for gap in gaps
    ]
    return "; ".join(parts) + "."
