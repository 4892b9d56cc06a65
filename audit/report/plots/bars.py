"""What each change of a label set does: bars of the net change, largest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.patches import Patch

from audit.report.names import short
from audit.report.plots.canvas import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    SMALL,
    inline_svg,
    lined_axes,
    sheet,
)
from audit.results.ablation_rows import Ablation

_LINE, _FRAME = 40.0, 84.0


class Change(NamedTuple):
    """One change: what it does overall, and to the group that it moves most."""

    overall: Ablation
    group: Ablation | None


def bars(changes: Sequence[Change], *, key: str, title: str) -> str:
    """Returns the net change of each change of the label set, with its interval.

    Args:
        changes: in the order in which they are drawn.
        key: the figure's own id.
        title: what it is.
    """
    with sheet(_FRAME + _LINE * len(changes)) as figure:
        axes = figure.add_subplot()
        for place, change in enumerate(changes):
            _bar(axes, change.overall, place - 0.17, overall=True)
            if change.group is not None:
                _bar(axes, change.group, place + 0.17, overall=False)
        _finish(axes, changes)
        _legend(figure)
        return inline_svg(figure, key, title, _in_words(changes))


def _bar(axes: Any, row: Ablation, place: float, *, overall: bool) -> None:
    colour, hatch = (BLUE, None) if overall else (ORANGE, "////")
    axes.barh(place, row.net or 0, 0.3, color=colour, hatch=hatch, edgecolor="white", linewidth=0)
    if row.net_low is not None and row.net_high is not None:
        axes.plot([row.net_low, row.net_high], [place, place], color=INK, lw=1.2, zorder=3)
        ends = [row.net_low, row.net_high]
        axes.plot(ends, [place, place], color=INK, marker="|", ms=5, ls="", zorder=3)


def _finish(axes: Any, changes: Sequence[Change]) -> None:
    names = [
        short(change.overall.change, 22)
        + (" *" if change.overall.claim else "")
        + (
            f"\n{short(change.group.group, 20)}{' *' if change.group.claim else ''}"
            if change.group
            else ""
        )
        for change in changes
    ]
    axes.set_yticks(range(len(changes)), names, fontsize=SMALL, linespacing=1.25)
    axes.set_ylim(len(changes) - 0.5, -0.5)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.set_xlabel("net change of the share flagged, points", loc="right")
    lined_axes(axes)


def _legend(figure: Any) -> None:
    handles = [
        Patch(facecolor=BLUE, label="overall"),
        Patch(facecolor=ORANGE, hatch="////", edgecolor="white", label="most moved group"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2)


def _in_words(changes: Sequence[Change]) -> str:
    parts = []
    for overall, group in changes:
        text = f"{overall.change}: overall {100 * (overall.net or 0):+.2f} points"
        if group is not None:
            text += f", most for {group.group} {100 * (group.net or 0):+.2f}"
        parts.append(text)
    return "; ".join(parts or ["No change was tried"]).replace("-", "−") + "."
