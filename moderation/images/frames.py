"""An animation -> some of its frames, as a viewer shows them; at bounded work."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from PIL import Image

from moderation.errors import ImageError
from moderation.images.formats import refuse_too_large

T = TypeVar("T")

#: Formats in which further images are later moments of the first; MPO and HEIF hold others.
ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")

#: Frames that are decoded, at most: 20 seconds at 25 a second. Each is drawn over the one before,
#: so the last one costs all of them, and a file of 20 MB can hold a million.
MOST_FRAMES = 500

#: All decoded frames together have at most this many times the pixels that a still may have, so
#: that an animation costs no more than a handful of the largest stills.
MOST_STILLS = 4


def look_at_frames(
    opened: Callable[[], AbstractContextManager[Image.Image]],
    look: Callable[[Image.Image], T],
    *,
    frames: int,
    max_pixels: int,
) -> list[T]:
    """Returns what `look` gives for up to `frames` evenly spaced frames, from the first, in order.

    An animation that is damaged after its first frame ends before the damage, as in a viewer.

    Args:
        opened: opens the image again, at its first frame.
        look: is given an image at one of its frames; must not change it.
        frames: how many are wanted; an animation that has fewer gives fewer.
        max_pixels: of a still; see `MOST_STILLS`.

    Raises:
        ImageError: as `opened` and `look`. Their other errors are passed on for the first frame.
    """
    with opened() as image:
        count = _stated_frames(image, max_pixels) if frames > 1 else 1
        seen = {0: look(image)}
    while wanted := _evenly_spaced(count, frames) - seen.keys():
        with opened() as image:
            reached = _look_at_later_frames(image, look, wanted, seen, max_pixels)
            count = min(count, reached)
    return [seen[index] for index in sorted(_evenly_spaced(count, frames))]


def _stated_frames(image: Image.Image, max_pixels: int) -> int:
    """Returns how many frames to decode, if the file tells the truth about how many it has."""
    if image.format not in ANIMATED:
        return 1
    most = max(1, min(MOST_FRAMES, MOST_STILLS * max_pixels // (image.width * image.height)))
    # A GIF does not state it, and counting would read the whole file.
    stated = most if image.format == "GIF" else getattr(image, "n_frames", 1)
    return min(stated, most)


def _evenly_spaced(count: int, frames: int) -> set[int]:
    """Returns the indexes that begin equal parts of `count` frames."""
    parts = min(frames, count)
    return {part * count // parts for part in range(parts)}


def _look_at_later_frames(
    image: Image.Image,
    look: Callable[[Image.Image], T],
    wanted: set[int],
    seen: dict[int, T],
    max_pixels: int,
) -> int:
    """Adds what is seen of the wanted frames; returns how many there are, as far as is known."""
    for index in range(1, max(wanted) + 1):
        try:
            image.seek(index)
            refuse_too_large(image.size, max_pixels)  # a GIF can grow from frame to frame
            if index in wanted:
                seen[index] = look(image)
            else:
                image.load()
        except (ImageError, MemoryError):
            raise
        except Exception:  # at its end, or damaged: Pillow raises all kinds of errors
            return index
    return MOST_FRAMES
