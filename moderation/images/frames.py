"""An animation -> some of its frames, as a browser shows them; at bounded work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from PIL import Image

from moderation.images.animation.album import Album
from moderation.images.animation.apng import apng_frames
from moderation.images.animation.canvas import Canvas
from moderation.images.animation.frame import Decoded, Disposal, Frame
from moderation.images.animation.gif import gif_frames

T = TypeVar("T")

#: Formats in which further images are later moments of the first; MPO and HEIF hold others.
ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")

#: Frames that are drawn, at most: 2 minutes at 25 a second. A file of 20 MB can hold a million.
MOST_FRAMES = 3000

#: All frames together draw at most this many times the pixels that a still may have, and so many
#: times the canvas is looked at, so that an animation costs no more than a handful of the largest
#: stills.
MOST_STILLS = 2

#: Drawing a frame counts as this many pixels, at least.
LEAST_WORK = 10_000

#: Browsers show a frame that is to be shown no longer than this for 100 milliseconds.
_HURRIED, _UNHURRIED = 10, 100

_GREYS = ("1", "L", "LA", "I")


@dataclass(frozen=True)
class SeenFrames(Generic[T]):
    """What was seen of an image's frames.

    `seen` has the index of each frame in the animation and what was seen of it, in order;
    `exhaustive` is true only where no other frame shows another picture; `count` is how many frames
    there are, as far as is known; `milliseconds` says for each seen frame how long it is until the
    next of them, or the end.
    """

    seen: list[tuple[int, T]]
    exhaustive: bool
    count: int
    milliseconds: list[int]


class _Animation(NamedTuple):
    """Its frames in order, and how many it says it has; a GIF does not say."""

    frames: Iterator[Frame]
    stated: int = 0


def look_at_frames(
    content: bytes,
    opened: Callable[[], AbstractContextManager[Image.Image]],
    look: Callable[[Image.Image], T],
    *,
    frames: int,
    max_pixels: int,
) -> SeenFrames[T]:
    """Returns what `look` gives for up to `frames` frames that show different pictures, in order.

    All are looked at if there are no more. Otherwise the first and the last are among them, and the
    rest are those that differ most; see `Album.chosen`. It depends on the file alone.

    Args:
        content: the file.
        opened: opens it again, at its first frame.
        look: is given an image at one of its frames; must not change it.
        frames: how many are wanted; an animation that has fewer gives fewer.
        max_pixels: of a still; see `MOST_STILLS`.

    Raises:
        ImageError: as `opened` and `look`; any frame that was read is damaged.
    """
    with opened() as image:
        if (animation := _animation(content, image)) is None:
            return SeenFrames([(0, look(image))], True, 1, [0])
        most = min(frames, max(1, MOST_STILLS * max_pixels // (image.width * image.height)))
        limit = MOST_FRAMES if most > 1 else 1
        album, seen = Album(image.size), dict[int, T]()
        canvas, work, index = Canvas(image.size), 0, 0
        is_whole, ends = True, [0]
        for index, frame in enumerate(animation.frames):
            rows = canvas.rows(frame)
            work += max(LEAST_WORK, album.work(rows))
            if index and (index == limit or work > MOST_STILLS * max_pixels):
                is_whole = False
                break
            milliseconds = canvas.draw(frame)
            ends.append(ends[-1] + (milliseconds if milliseconds > _HURRIED else _UNHURRIED))
            is_new = album.add(index, canvas.pixels, rows, milliseconds)
            if is_new and len(seen) < most:
                seen[index] = look(_shown(canvas, image))
    chosen = album.chosen(most)
    seen = {index: seen[index] for index in chosen if index in seen}  # the others are let go
    with opened() as image:
        seen |= _seen_again(content, image, look, set(chosen) - seen.keys())
    is_exhaustive = is_whole and len(album.firsts) == len(chosen)
    count = max(animation.stated, index + 1)
    begins = [*(ends[index] for index in chosen), ends[-1]]
    times = [after - before for before, after in pairwise(begins)]
    return SeenFrames([(index, seen[index]) for index in chosen], is_exhaustive, count, times)


def _animation(content: bytes, image: Image.Image) -> _Animation | None:
    """Returns the frames of an opened animation; None for a still picture."""
    if image.format == "GIF":
        return _Animation(gif_frames(content))
    if image.format == "PNG":
        parts = apng_frames(content)
        return _Animation(iter(parts), len(parts)) if parts else None
    stated: int = getattr(image, "n_frames", 1)
    if image.format not in ANIMATED or stated == 1:
        return None
    return _Animation(_library_frames(image, stated), stated)


def _library_frames(image: Image.Image, count: int) -> Iterator[Frame]:
    """Yields the frames of a format whose own library draws them over each other."""

    def decode(index: int) -> Decoded:
        image.seek(index)
        image.load()
        return Decoded(np.array(image.convert("RGBA")), int(image.info.get("duration") or 0))

    for index in range(count):
        yield Frame(0, 0, *image.size, Disposal.KEEP, False, partial(decode, index))


def _seen_again(
    content: bytes, image: Image.Image, look: Callable[[Image.Image], T], wanted: set[int]
) -> dict[int, T]:
    """Returns what is seen of the wanted frames, drawing them and those before them once more."""
    seen: dict[int, T] = {}
    animation = _animation(content, image) if wanted else None
    canvas = Canvas(image.size) if animation else None
    if animation is None or canvas is None:
        return seen
    for index, frame in enumerate(animation.frames):
        canvas.draw(frame)
        if index in wanted:
            seen[index] = look(_shown(canvas, image))
            if len(seen) == len(wanted):
                break
    return seen


def _shown(canvas: Canvas, image: Image.Image) -> Image.Image:
    """Returns what the canvas shows, with what the file says about its colours and its place."""
    shown = Image.fromarray(canvas.pixels)
    if image.mode in _GREYS or image.mode.startswith("I;16"):
        shown = shown.convert("LA")  # so that a profile of greys fits
    shown.info = {key: value for key, value in image.info.items() if key != "transparency"}
    shown.format = image.format
    return shown
