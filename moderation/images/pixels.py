"""Untrusted bytes -> an RGB image within limits -> the pixels that an encoder takes.

Imports only Pillow and numpy, so that a process that does nothing but decode stays small.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from moderation.images.borders import content_box
from moderation.images.colours import BACKGROUNDS, Background, Rgb, on_background
from moderation.images.formats import load, opened
from moderation.images.frames import look_at_frames
from moderation.images.looks import Look, Looking, Pixels, Sight
from moderation.images.oddities.finding import oddities
from moderation.images.rendition import (
    RenditionForm,
    encode_rendition,
    rendition_picture,
    rendition_size,
)
from moderation.images.upright import TURNED, draft_pixels, file_turn, upright_pixels
from moderation.images.views import Box, View, picture_views, rows_of_views

#: The version of how files become pixels. It goes up whenever the pixels of some file change, since
#: features are stored under it. 1: decoded in full, ICC profiles ignored. 2: turned by XMP too, ICC
#: profiles run as programs. 3: ICC profiles only, applied after resizing; animations drawn by
#: Pillow. 4: colours converted before resizing. 5: as it is now.
DECODING_VERSION = 5

#: A JPEG is decoded to at least this many times the size that it is resized to. Its decoder can
#: give an eighth, a quarter or a half of the size at a fraction of the work. At 3 no value was off
#: by more than 5 of 255; at 2 some were off by 16, and large photographs cost hardly less.
SCALE = 3

#: An image that is longer than this many times its width is cropped to its middle before resizing.
_LONGEST_RATIO = 20

#: (left, top, right, bottom) of a part of an image, in whole pixels.
WholeBox = tuple[int, int, int, int]


class _SeenFrame(NamedTuple):
    """What is seen of a frame: squares for each way to preprocess, and it as a rendition has it."""

    squares: list[list[tuple[Background, WholeBox, Pixels]]]
    picture: Image.Image | None


@dataclass(frozen=True)
class Preprocessing:
    """How an RGB image becomes the square of pixels that a model was trained on.

    `resize` is the length of the shorter side, or the exact (height, width). The pixels are then
    scaled by `scale` and normalised: (pixel * scale - mean) / std, per channel.
    """

    resize: int | tuple[int, int]
    crop: tuple[int, int]
    resample: Literal["bilinear", "bicubic", "lanczos"]
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def fingerprint(self) -> str:
        """Hash of everything that shapes the pixels, decoding too; 16 hex digits."""
        content = json.dumps({"decoding": DECODING_VERSION, **asdict(self)}, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def read_sights(
    content: bytes,
    ways: Sequence[Preprocessing],
    looking: Looking | None = None,
    *,
    max_pixels: int,
    scale: int = SCALE,
    form: RenditionForm | None = None,
) -> list[Sight]:
    """Returns what is seen of a file in each way to preprocess.

    Without a way to preprocess, it only finds out whether the image can be read.

    Args:
        content: a file of one of `formats.FORMATS`.
        ways: how the encoders want it.
        looking: how much is looked at; by default the first frame, as the model has it.
        max_pixels: width times height of the largest image that is decoded.
        scale: see `SCALE`.
        form: of the rendition that is made; None makes none.

    Raises:
        ImageError: it is not an image of an accepted format, is damaged, or has too many pixels.
    """
    looking = looking or Looking()

    def look(image: Image.Image) -> _SeenFrame:
        turn = file_turn(image, content)
        full = image.size[::-1] if turn in TURNED else image.size
        needed = _needed_size(ways, scale * rows_of_views(looking.views), full, form)
        box = draft_pixels(image, needed, turn)
        load(image, content)
        upright, box = upright_pixels(image, box, turn)
        grounds = list(BACKGROUNDS) if upright.alpha else list(BACKGROUNDS)[:1]
        shown = [(ground, on_background(upright, ground)) for ground in grounds]
        several = looking.views != 1
        views = {
            ground: picture_views(box, looking.views, content_box(each, box) if several else None)
            for ground, each in shown
        }
        squares = [
            [
                (ground, *_seen_in(each, how, box, full, view))
                for ground, each in shown
                for view in views[ground]
            ]
            for how in ways
        ]
        return _SeenFrame(squares, rendition_picture(shown[0][1], box, form) if form else None)

    open_again = partial(opened, content, max_pixels)
    frames = look_at_frames(content, open_again, look, frames=looking.frames, max_pixels=max_pixels)
    pictures = [seen.picture for _, seen in frames.seen if seen.picture]
    rendition = encode_rendition(pictures, frames.milliseconds, form) if form else None
    found = oddities(content)
    sights = []
    for way in range(len(ways)):
        squares, looks = _distinct_looks(
            (Look(frame, box, ground), pixels)
            for frame, seen in frames.seen
            for ground, box, pixels in seen.squares[way]
        )
        sights.append(Sight(np.stack(squares), tuple(looks), frames.exhaustive, found, rendition))
    return sights


def _seen_in(
    image: Image.Image, how: Preprocessing, box: Box, full: tuple[int, int], view: View
) -> tuple[WholeBox, Pixels]:
    """Returns where a view is in the full picture, whose decoded part is `box`, and its pixels."""
    shown = view.box if view.is_whole else model_box(view.box, how)
    pixels = (whole_square if view.is_whole else preprocess)(image, how, view.box)
    across, down = full[0] / (box[2] - box[0]), full[1] / (box[3] - box[1])
    left, right = _whole_span((shown[0] - box[0]) * across, (shown[2] - box[0]) * across, full[0])
    top, bottom = _whole_span((shown[1] - box[1]) * down, (shown[3] - box[1]) * down, full[1])
    return (left, top, right, bottom), pixels


def _whole_span(start: float, end: float, length: int) -> tuple[int, int]:
    """Returns where a span begins and ends in whole pixels, of which it has one at least."""
    first = min(round(start), length - 1)
    return first, max(round(end), first + 1)


def _distinct_looks(looks: Iterable[tuple[Look, Pixels]]) -> tuple[list[Pixels], list[Look]]:
    """Returns the pixels and looks, without those whose pixels came before."""
    found: dict[bytes, tuple[Look, Pixels]] = {}
    for look, pixels in looks:
        found.setdefault(pixels.tobytes(), (look, pixels))
    return [pixels for _, pixels in found.values()], [look for look, _ in found.values()]


def decode(content: bytes, *, max_pixels: int) -> Image.Image:
    """Returns all pixels of the image in `content`: RGB in sRGB, upright, on white; the first one.

    Raises:
        ImageError: as `read_sights`.
    """
    return on_background(decode_rgb(content, max_pixels=max_pixels), "white")


def decode_rgb(content: bytes, *, max_pixels: int) -> Rgb:
    """Returns as `decode`, with the opacity apart.

    Raises:
        ImageError: as `read_sights`.
    """

    def look(image: Image.Image) -> Rgb:
        load(image, content)
        return upright_pixels(image, (0, 0, *image.size), file_turn(image, content))[0]

    open_again = partial(opened, content, max_pixels)
    [(_, rgb)] = look_at_frames(content, open_again, look, frames=1, max_pixels=max_pixels).seen
    return rgb


def _needed_size(
    ways: Sequence[Preprocessing], scale: int, full: tuple[int, int], form: RenditionForm | None
) -> tuple[int, int]:
    """Returns the (width, height) below which an upright picture should not be decoded."""
    sides = [
        (how.resize, how.resize) if isinstance(how.resize, int) else how.resize[::-1]
        for how in ways
    ]
    # Without a way to preprocess there is nothing to resize to: the smallest will do.
    width, height = (scale * max(side) for side in zip(*sides, strict=True)) if sides else (1, 1)
    if form is None:
        return width, height
    shown = rendition_size(*full, form.side)
    return max(width, shown[0]), max(height, shown[1])


def preprocess(image: Image.Image, how: Preprocessing, box: Box | None = None) -> Pixels:
    """Returns (h, w, 3) uint8 pixels of an RGB image, resized and cropped at the centre.

    Equal to what transformers' image processors without torchvision do before they normalise.

    Args:
        image: RGB in sRGB, and upright.
        how: what to do.
        box: the part of it that is the image; all of it by default.
    """
    box = box or (0, 0, *image.size)
    if isinstance(how.resize, int):
        box = _without_far_ends(box)
    size = _resized_pixels_size((box[2] - box[0], box[3] - box[1]), how.resize)
    resized = image.resize(size, Image.Resampling[how.resample.upper()], box)
    height, width = how.crop
    left, top = (resized.width - width) // 2, (resized.height - height) // 2
    cropped = resized.crop((left, top, left + width, top + height))
    # A copy, since Pillow's own memory is read-only and torch will not take that.
    return np.array(cropped)


def whole_square(image: Image.Image, how: Preprocessing, box: Box) -> Pixels:
    """Returns (h, w, 3) uint8 pixels of a box of an RGB image, all of it, between bars.

    The bars have the colour that a model takes as the mean, which says least. The arguments are
    those of `preprocess`.
    """
    height, width = how.crop
    wide, high = box[2] - box[0], box[3] - box[1]
    ratio = min(width / wide, height / high)
    size = (max(1, round(wide * ratio)), max(1, round(high * ratio)))
    resized = image.resize(size, Image.Resampling[how.resample.upper()], box)
    mean = tuple(min(255, max(0, round(mean / how.scale))) for mean in how.mean)
    square = Image.new("RGB", (width, height), mean)
    square.paste(resized, ((width - size[0]) // 2, (height - size[1]) // 2))
    return np.array(square)


def model_box(box: Box, how: Preprocessing) -> Box:
    """Returns the part of a box that `preprocess` shows."""
    if not isinstance(how.resize, int):
        return box
    wide, high = box[2] - box[0], box[3] - box[1]
    shown = min(wide, high) / how.resize
    width, height = min(wide, how.crop[1] * shown), min(high, how.crop[0] * shown)
    left, top = box[0] + (wide - width) / 2, box[1] + (high - height) / 2
    return left, top, left + width, top + height


def _without_far_ends(box: Box) -> Box:
    """Returns the middle of a very long image; the crop would show no more of it.

    Otherwise a strip of 10 x 300,000 pixels would be enlarged to gigabytes before the crop.
    """
    sides = (box[2] - box[0], box[3] - box[1])
    longest = _LONGEST_RATIO * min(sides)
    width, height = (min(side, longest) for side in sides)
    left, top = box[0] + (sides[0] - width) // 2, box[1] + (sides[1] - height) // 2
    return left, top, left + width, top + height


def _resized_pixels_size(
    size: tuple[float, float], resize: int | tuple[int, int]
) -> tuple[int, int]:
    """Returns (width, height) after resizing; the longer side is rounded down to a whole pixel."""
    if not isinstance(resize, int):
        return resize[1], resize[0]
    width, height = size
    if width <= height:
        return resize, int(resize * height / width)
    return int(resize * width / height), resize
