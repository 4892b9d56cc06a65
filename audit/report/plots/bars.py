"""What each change of a label set does: bars of the net change, largest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.patches import Patch

from audit.report.plots import canvas
from audit.results.ablation_rows import Ablation

_LINE, _FRAME = 40.0, 84.0


class BarPair(NamedTuple):
    """One change: what it does overall, and to the group that it moves most."""

    overall: Ablation
    group: Ablation | None


def bars(changes: Sequence[BarPair], *, key: str, title: str) -> str:
    """Returns the net change of each change of the label set, with its interval.

    Args:
        changes: in the order in which they are drawn.
        key: the figure's own id.
        title: what it is.
    """
    with canvas.sheet(_FRAME + _LINE * len(changes)) as figure:
        axes = figure.add_subplot()
        for place, change in enumerate(changes):
            _draw_bar(axes, change.overall, place - 0.17, overall=True)
            if change.group is not None:
                _draw_bar(axes, change.group, place + 0.17, overall=False)
        _finish_bars(axes, changes)
        overall = Patch(facecolor=canvas.BLUE, label="overall")
        moved = Patch(facecolor=canvas.ORANGE, hatch="////", edgecolor="white")
        moved.set_label("most moved group")
        figure.legend(handles=[overall, moved], loc="outside upper left", ncols=2)
        return canvas.inline_svg(figure, key, title, _bars_in_words(changes))


def _draw_bar(axes: Any, row: Ablation, place: float, *, overall: bool) -> None:
    colour, hatch = (canvas.BLUE, None) if overall else (canvas.ORANGE, "////")
    axes.barh(place, row.net or 0, 0.3, color=colour, hatch=hatch, edgecolor="white", linewidth=0)
    if row.net_low is not None and row.net_high is not None:
        ends, places = [row.net_low, row.net_high], [place, place]
        axes.plot(ends, places, color=canvas.INK, lw=1.2, marker="|", ms=5, zorder=3)


def _finish_bars(axes: Any, changes: Sequence[BarPair]) -> None:
    names = []
    for overall, group in changes:
        name = canvas.short(overall.change, 22) + " *" * overall.claim
        if group:
            name += f"\n{canvas.short(group.group, 20)}{' *' * group.claim}"
        names.append(name)
    axes.set_yticks(range(len(changes)), names, fontsize=canvas.SMALL, linespacing=1.25)
    axes.set_ylim(len(changes) - 0.5, -0.5)
    axes.axvline(0, color=canvas.GREY, linewidth=1)
    axes.set_xlabel("net change of the share flagged, points", loc="right")
    canvas.lined_axes(axes)


def _bars_in_words(changes: Sequence[BarPair]) -> str:
    parts = []
    for overall, group in changes:
        text = f"{overall.change}: overall {100 * (overall.net or 0):+.2f} points"
        if group is not None:
            text += f", most for {group.group} {100 * (group.net or 0):+.2f}"
        parts.append(text)
    return "; ".join(parts or ["No change was tried"]).replace("-", "−") + "."
