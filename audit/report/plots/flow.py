"""Where images went from one label to another: two columns of labels with bands between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from audit.report.names import distinct, short
from audit.report.plots.canvas import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    SMALL,
    TEXT,
    WIDTH,
    inline_svg,
    sheet,
)
from audit.results.rows import Flow

_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY)
_HATCHES = ("", "///", "...", "\\\\\\", "xxx")

#: Pixels: the columns of labels, the bars beside them, the smallest height of a label's line.
_LEFT, _RIGHT, _BAR, _LINE = 126.0, 126.0, 7.0, 14.0
_TOP, _GAP = 30.0, 5.0


def flow(flows: Sequence[Flow], *, before: str, after: str, key: str, title: str) -> str:
    """Returns an alluvial diagram of flows from one label to another.

    Args:
        flows: largest first, each of at least one image.
        before: what the first column is called.
        after: what the second column is called.
        key: the figure's own id.
        title: what it is.
    """
    sources, targets = distinct(f.source for f in flows), distinct(f.target for f in flows)
    total = sum(each.count for each in flows) or 1
    lines = max(len(sources), len(targets))
    scale = max(_LINE * lines, 120.0) / total
    spots = [_spots(flows, names, side, scale) for side, names in enumerate((sources, targets))]
    height = 12 + max(top + max(size, _LINE) for side in spots for top, size in side.values())
    with sheet(height) as figure:
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, WIDTH)
        axes.set_ylim(height, 0)
        axes.set_axis_off()
        _bands(axes, flows, spots, scale, sources)
        _labels(axes, spots, (before, after), flows)
        return inline_svg(figure, key, title, _in_words(flows, before, after))


Spots = dict[str, tuple[float, float]]


def _name(each: Flow, side: int) -> str:
    return each.target if side else each.source


def _spots(flows: Sequence[Flow], names: Sequence[str], side: int, scale: float) -> Spots:
    """Returns where each label's bar begins and how high it is, so that no two texts touch."""
    spots: Spots = {}
    top = _TOP
    for name in names:
        size = scale * sum(each.count for each in flows if _name(each, side) == name)
        room = max(size, _LINE)
        spots[name] = (top + (room - size) / 2, size)
        top += room + _GAP
    return spots


def _bands(
    axes: Any, flows: Sequence[Flow], spots: Sequence[Spots], scale: float, sources: Sequence[str]
) -> None:
    used = [dict.fromkeys(side, 0.0) for side in spots]
    left, right = _LEFT + _BAR, WIDTH - _RIGHT - _BAR
    order = {name: i for i, name in enumerate(sources)}
    for each in sorted(flows, key=lambda one: order[one.source]):
        size = scale * each.count
        a = spots[0][each.source][0] + used[0][each.source]
        b = spots[1][each.target][0] + used[1][each.target]
        used[0][each.source] += size
        used[1][each.target] += size
        tone = order[each.source] % len(_COLOURS)
        axes.add_patch(
            PathPatch(
                _ribbon(left, right, a, b, size),
                facecolor=_COLOURS[tone],
                alpha=0.45,
                hatch=_HATCHES[tone],
                edgecolor="white",
                linewidth=0.4,
            )
        )


def _ribbon(left: float, right: float, a: float, b: float, size: float) -> Path:
    middle = (left + right) / 2
    upper = [(left, a), (middle, a), (middle, b), (right, b)]
    lower = [(right, b + size), (middle, b + size), (middle, a + size), (left, a + size)]
    curve = [Path.CURVE4] * 3
    codes = [Path.MOVETO, *curve, Path.LINETO, *curve, Path.CLOSEPOLY]
    return Path([*upper, *lower, (left, a)], codes)


def _labels(
    axes: Any, spots: Sequence[Spots], ends: tuple[str, str], flows: Sequence[Flow]
) -> None:
    places = ((_LEFT, _LEFT - 4, "right"), (WIDTH - _RIGHT - _BAR, WIDTH - _RIGHT + 4, "left"))
    for (edge, align), end in zip(((2, "left"), (WIDTH - 2, "right")), ends, strict=True):
        axes.text(edge, 12, short(end, 25), ha=align, va="center", weight="bold", size=TEXT)
    for side, (bar, text, align) in enumerate(places):
        for name, (top, size) in spots[side].items():
            axes.add_patch(Rectangle((bar, top), _BAR, size, facecolor=INK, linewidth=0))
            images = sum(each.count for each in flows if _name(each, side) == name)
            count = f"{images:,}"
            shown = short(name, 20 - len(count))
            line = f"{shown} {count}"
            axes.text(text, top + size / 2, line, ha=align, va="center", size=SMALL)


def _in_words(flows: Sequence[Flow], before: str, after: str) -> str:
    parts = [f"{each.count:,} from {each.source} to {each.target}" for each in flows]
    return f"Images that changed from {before} to {after}: " + "; ".join(parts) + "."
