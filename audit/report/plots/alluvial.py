"""Where images went from one label to another: two columns of labels with bands between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from audit.report.plots import canvas
from audit.results.rows import Flow

_COLOURS = (canvas.BLUE, canvas.ORANGE, canvas.GREEN, canvas.PURPLE, canvas.SKY)

#: Pixels: the columns of labels, the bars beside them, what is between one label and the next.
_SIDE, _BAR, _GAP = 126.0, 7.0, 5.0

#: How many characters fit beside a bar.
_WIDTH = 17

#: By label: where its bar begins, and how high it is.
Spots = dict[str, tuple[float, float]]


def alluvial(flows: Sequence[Flow], *, before: str, after: str, key: str, title: str) -> str:
    """Returns an alluvial diagram of flows from one label to another.

    Args:
        flows: largest first, each of at least one image.
        before: what the first column is called.
        after: what the second column is called.
        key: the figure's own id.
        title: what it is.
    """
    images = [_images_by_alluvial_label(flows, side) for side in (0, 1)]
    heads = [canvas.wrapped(head, 20) for head in (before, after)]
    top = canvas.LEADING * (canvas.most_lines(heads) + 0.8)
    scale = max(canvas.LEADING * max(map(len, images)), 120.0) / (sum(images[0].values()) or 1)
    spots = [_alluvial_spots(of_side, scale, top) for of_side in images]
    height = 12 + max(map(_alluvial_end, images, spots))
    with canvas.sheet(height) as figure:
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, canvas.WIDTH)
        axes.set_ylim(height, 0)
        axes.set_axis_off()
        _draw_alluvial_bands(axes, flows, spots, scale)
        for side, head in enumerate(heads):
            _draw_alluvial_labels(axes, side, head, images[side], spots[side])
        return canvas.inline_svg(figure, key, title, _alluvial_in_words(flows, before, after))


def _images_by_alluvial_label(flows: Sequence[Flow], side: int) -> Counter[str]:
    """Returns how many images each label of a column of the diagram has, in their order."""
    images: Counter[str] = Counter()
    for each in flows:
        images[each.target if side else each.source] += each.count
    return images


def _alluvial_line(name: str, count: int) -> str:
    """Returns a label with its count, which is never cut."""
    name, number = canvas.wrapped(name, _WIDTH), f"{count:,}"
    fits = len(name.rpartition("\n")[2]) + len(number) < _WIDTH
    return f"{name}{' ' if fits else chr(10)}{number}"


def _alluvial_room(name: str, count: int, size: float) -> float:
    """Returns the height that a label needs, its text or its bar."""
    return max(size, canvas.LEADING * canvas.most_lines([_alluvial_line(name, count)]))


def _alluvial_spots(images: Mapping[str, int], scale: float, top: float) -> Spots:
    """Returns where each label's bar begins and how high it is, so that no two texts touch."""
    spots: Spots = {}
    for name, count in images.items():
        size = scale * count
        room = _alluvial_room(name, count, size)
        spots[name] = (top + (room - size) / 2, size)
        top += room + _GAP
    return spots


def _alluvial_end(images: Mapping[str, int], spots: Spots) -> float:
    """Returns where a column of labels ends."""
    name = list(images)[-1]
    top, size = spots[name]
    return top + (size + _alluvial_room(name, images[name], size)) / 2


def _draw_alluvial_bands(
    axes: Any, flows: Sequence[Flow], spots: Sequence[Spots], scale: float
) -> None:
    used = [dict.fromkeys(side, 0.0) for side in spots]
    order = {name: i for i, name in enumerate(spots[0])}
    for each in sorted(flows, key=lambda one: order[one.source]):
        size = scale * each.count
        a = spots[0][each.source][0] + used[0][each.source]
        b = spots[1][each.target][0] + used[1][each.target]
        used[0][each.source] += size
        used[1][each.target] += size
        tone = order[each.source] % len(_COLOURS)
        axes.add_patch(
            PathPatch(
                _alluvial_band(a, b, size),
                facecolor=_COLOURS[tone],
                alpha=0.45,
                edgecolor="white",
                linewidth=0.4,
            )
        )


def _alluvial_band(a: float, b: float, size: float) -> Path:
    """Returns the outline of a band from a height at the left to another at the right."""
    left, right, middle = _SIDE + _BAR, canvas.WIDTH - _SIDE - _BAR, canvas.WIDTH / 2
    upper = [(left, a), (middle, a), (middle, b), (right, b)]
    lower = [(right, b + size), (middle, b + size), (middle, a + size), (left, a + size)]
    curve = [Path.CURVE4] * 3
    codes = [Path.MOVETO, *curve, Path.LINETO, *curve, Path.CLOSEPOLY]
    return Path([*upper, *lower, (left, a)], codes)


def _draw_alluvial_labels(
    axes: Any, side: int, head: str, images: Mapping[str, int], spots: Spots
) -> None:
    edge, bar, text = 2.0, _SIDE, _SIDE - 4
    outwards, inwards = "left", "right"
    if side:
        edge, bar, text = (canvas.WIDTH - x for x in (edge, bar + _BAR, text))
        outwards, inwards = inwards, outwards
    axes.text(edge, 4, head, ha=outwards, va="top", weight="bold", size=canvas.TEXT)
    for name, (top, size) in spots.items():
        axes.add_patch(Rectangle((bar, top), _BAR, size, facecolor=canvas.INK, linewidth=0))
        line = _alluvial_line(name, images[name])
        axes.text(text, top + size / 2, line, ha=inwards, va="center", size=canvas.SMALL)


def _alluvial_in_words(flows: Sequence[Flow], before: str, after: str) -> str:
    parts = [f"{each.count:,} from {each.source} to {each.target}" for each in flows]
    return f"Images that changed from {before} to {after}: " + "; ".join(parts) + "."
