"""A picture -> the parts of it that are looked at, each of which becomes one square.

A model sees a square. Of a picture 3:1 a crop at the centre shows a third; so pictures beyond 4:3
are seen as a whole, with bars, and in squares besides. Where most of a picture is
border, what lies within it is seen too. Imports nothing.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

#: (left, top, right, bottom) of a part of a picture, in pixels and fractions of them.
Box = tuple[float, float, float, float]

#: How many views a picture gets: 1, at most so many, or what its shape asks for.
Views = Literal["auto"] | int

#: A longer side over a shorter one up to which a picture gets one view: 4:3, and what rounding
#: makes of it.
_PLAIN_RATIO = 4 / 3 + 0.01

#: Squares beside each other begin at most so much of their side apart. At 0.5 they find little more
#: (docs/performance.md), cost half as much again, and flag twice as many innocent pictures.
_STEP = 1.0

#: Squares in a row under `auto`. A longer picture is covered by longer parts, each with bars.
_MOST_IN_ROW = 9

#: The view of the whole picture, and the first one, which a model's own preprocessing gives.
_BESIDE_TILES = 2

#: The share of N views that the content of a picture with borders gets: a third, one at least.
_OF_CONTENT = 3


class View(NamedTuple):
    """A part of a picture that becomes one square.

    Attributes:
        box: where it is.
        is_whole: whether all of it is shown, between bars where it is not square, or what a
            model's own preprocessing shows of it.
    """

    box: Box
    is_whole: bool = True


def picture_views(box: Box, views: Views, content: Box | None = None) -> tuple[View, ...]:
    """Returns the views of a picture; the first one is what the model's preprocessing shows.

    Under `auto` a picture beyond 4:3 is also shown whole, with bars, and covered by squares in a
    row: both ends and the middle are among them. `N` covers every picture by up to N views, in
    as many rows as they allow. Where most of a picture is border, its content is covered too,
    as if it were a picture of its own.

    Args:
        box: the picture, w x h.
        views: how many.
        content: the part of it within its borders, where these matter.
    """
    first, whole = View(box, is_whole=False), View(box)
    width, height = box[2] - box[0], box[3] - box[1]
    ratio = max(width, height) / min(width, height)
    if content is not None and views != 1:
        if views == "auto":
            return (*picture_views(box, "auto"), *picture_views(content, "auto"))
        inner = max(1, views // _OF_CONTENT)
        return (*picture_views(box, views - inner), *picture_views(content, inner))
    if views == 1 or (views == "auto" and ratio <= _PLAIN_RATIO):
        return (first,)
    if views == "auto":
        return (first, whole, *_row(box, min(_tiles_in_row(ratio), _MOST_IN_ROW)))
    return (first, whole, *_rows(box, ratio, views - _BESIDE_TILES))[:views]


def most_views(views: Views) -> int:
    """Returns how many views a picture can have."""
    return 2 * (_MOST_IN_ROW + _BESIDE_TILES) if views == "auto" else views


def rows_of_views(views: Views) -> int:
    """Returns how many times smaller than the picture a view can be, at most."""
    return 1 if views == "auto" else max(1, math.isqrt(max(0, views - _BESIDE_TILES)))


def _tiles_in_row(ratio: float) -> int:
    """Returns the least odd number of squares that cover a picture."""
    count = 1 + math.ceil((ratio - 1) / _STEP)
    return count if count % 2 else count + 1


def _row(box: Box, count: int) -> list[View]:
    """Returns parts of equal length along the longer side, evenly spaced; not the first view's."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    long, short = max(width, height), min(width, height)
    part = max(short, long / count)
    found = []
    for number in range(count):
        if 2 * number + 1 == count and (part == short or count == 1):
            continue  # the middle square is the first view, and a single part the whole
        start = (long - part) * number / max(1, count - 1)
        along = (left + start, top, left + start + part, bottom)
        down = (left, top + start, right, top + start + part)
        found.append(View(along if width >= height else down))
    return found


def _rows(box: Box, ratio: float, most: int) -> list[View]:
    """Returns up to `most` parts of a picture in as many rows as fit."""
    if most < 1:
        return []
    rows = 1
    while (rows + 1) * math.ceil(ratio * (rows + 1)) <= most:
        rows += 1
    if rows == 1:
        return _row(box, min(_tiles_in_row(ratio), most))
    columns = math.ceil(ratio * rows)
    across, down = (columns, rows) if box[2] - box[0] >= box[3] - box[1] else (rows, columns)
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    side = min(width, height) / rows
    return [
        View((x, y, x + side, y + side))
        for y in _starts(top, height, side, down)
        for x in _starts(left, width, side, across)
    ]


def _starts(first: float, length: float, side: float, count: int) -> list[float]:
    """Returns where `count` parts begin that cover a length, the ends included."""
    return [first + (length - side) * number / max(1, count - 1) for number in range(count)]
