"""What each change of a label set does: bars of the net change, largest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.patches import Patch

from audit.report.plots import canvas
from audit.report.plots.in_words import some_names
from audit.report.shown_numbers import points
from audit.results.ablation_rows import Ablation

_LINE, _FRAME = 42.0, 90.0


class BarPair(NamedTuple):
    """One change: what it does overall, and to the groups that it moves most, which tie."""

    overall: Ablation
    groups: Sequence[Ablation]


def bars(changes: Sequence[BarPair], *, key: str, title: str) -> str:
    """Returns the net change of each change of the label set, with its interval.

    Args:
        changes: in the order in which they are drawn.
        key: the figure's own id.
        title: what it is.
    """
    names = [_bar_name(change) for change in changes]
    line = max(_LINE, canvas.LEADING * canvas.most_lines(names) + 10)
    with canvas.sheet(_FRAME + line * len(changes)) as figure:
        axes = figure.add_subplot()
        for place, change in enumerate(changes):
            _draw_bar(axes, change.overall, place - 0.17, overall=True)
            if change.groups:
                _draw_bar(axes, change.groups[0], place + 0.17, overall=False)
        _finish_bars(axes, names)
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


def _bar_name(change: BarPair) -> str:
    """Returns a change, and below it the group that it moves most."""
    name = canvas.wrapped(change.overall.change + " *" * change.overall.claim, 20)
    if not change.groups:
        return name
    group, *tied = change.groups
    more = f" and {len(tied):,} more" if tied else ""
    return f"{name}\n{canvas.wrapped(group.group + more + ' *' * group.claim, 20)}"


def _finish_bars(axes: Any, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names, fontsize=canvas.SMALL, linespacing=1.25)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.axvline(0, color=canvas.GREY, linewidth=1)
    axes.set_xlabel("net change of the share flagged, points", loc="right")
    canvas.lined_axes(axes)


def _bars_in_words(changes: Sequence[BarPair]) -> str:
    parts = []
    for overall, groups in changes:
        text = f"{overall.change}: overall {points(overall.net).text} points"
        if groups:
            nets = dict.fromkeys(group.net for group in groups)
            text += f", most for {' and '.join(_moved_in_words(groups, net) for net in nets)}"
        parts.append(text)
    return "; ".join(parts or ["No change was tried"]) + "."


def _moved_in_words(groups: Sequence[Ablation], net: float | None) -> str:
    named = [group.group for group in groups if group.net == net]
    each = "each " if len(named) > 1 else ""
    return f"{some_names(named)} ({each}{points(net).text})"
