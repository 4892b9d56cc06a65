"""Untrusted bytes -> an RGB image within limits -> the pixels that an encoder takes.

Imports only Pillow and numpy, so that a process that does nothing but decode stays small.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from moderation.images.colours import Rgb, may_be_averaged, on_background, to_rgb
from moderation.images.formats import opened
from moderation.images.frames import look_at_frames
from moderation.images.orientation import orientation

#: The version of how files become pixels. It goes up whenever the pixels of some file change, since
#: features are stored under it. 1: decoded in full, ICC profiles ignored. 2: turned by XMP too, ICC
#: profiles run as programs. 3: ICC profiles only, applied after resizing; animations drawn by
#: Pillow. 4: as it is now.
DECODING_VERSION = 4

#: A JPEG is decoded to at least this many times the size that it is resized to. Its decoder can
#: give an eighth, a quarter or a half of the size at a fraction of the work. At 3 no value was off
#: by more than 5 of 255; at 2 some were off by 16, and large photographs cost hardly less.
SCALE = 3

#: An image that is longer than this many times its width is cropped to its middle before resizing.
_LONGEST_RATIO = 20

#: What turns an image upright, by its EXIF orientation; then the orientations that exchange width
#: and height, those that put the last column first, and those that put the last row first.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TURNED, _RIGHT_TO_LEFT, _BOTTOM_UP = (5, 6, 7, 8), (2, 3, 6, 7), (3, 4, 7, 8)

Pixels = npt.NDArray[np.uint8]

#: (left, top, right, bottom) of a part of an image, in pixels and fractions of them.
Box = tuple[float, float, float, float]


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


def read_squares(
    content: bytes,
    ways: Sequence[Preprocessing],
    *,
    max_pixels: int,
    frames: int = 1,
    scale: int = SCALE,
) -> list[Pixels]:
    """Returns (f, h, w, 3) pixels for each way to preprocess; f is 1 for a still image.

    Without a way to preprocess, it only finds out whether the image can be read.

    Args:
        content: a file of one of `formats.FORMATS`.
        ways: how the encoders want it.
        max_pixels: width times height of the largest image that is decoded.
        frames: frames of an animation, at most; see `look_at_frames`.
        scale: see `SCALE`.

    Raises:
        ImageError: it is not an image of an accepted format, is damaged, or has too many pixels.
    """

    def look(image: Image.Image) -> list[Pixels]:
        turn = _orientation(image, content)
        box = _draft_pixels(image, ways, scale, turn)
        image.load()
        upright, box = _upright_pixels(image, box, turn)
        shown = on_background(upright, "white")
        return [preprocess(shown, how, box) for how in ways]

    open_again = partial(opened, content, max_pixels)
    shown = look_at_frames(content, open_again, look, frames=frames, max_pixels=max_pixels)
    each_frame = [squares for _, squares in shown.seen]
    return [np.stack(squares) for squares in zip(*each_frame, strict=True)]


def decode(content: bytes, *, max_pixels: int) -> Image.Image:
    """Returns all pixels of the image in `content`: RGB in sRGB, upright, on white; the first one.

    Raises:
        ImageError: as `read_squares`.
    """
    return on_background(decode_rgb(content, max_pixels=max_pixels), "white")


def decode_rgb(content: bytes, *, max_pixels: int) -> Rgb:
    """Returns as `decode`, with the opacity apart.

    Raises:
        ImageError: as `read_squares`.
    """

    def look(image: Image.Image) -> Rgb:
        image.load()
        return _upright_pixels(image, (0, 0, *image.size), _orientation(image, content))[0]

    open_again = partial(opened, content, max_pixels)
    [(_, rgb)] = look_at_frames(content, open_again, look, frames=1, max_pixels=max_pixels).seen
    return rgb


def _draft_pixels(image: Image.Image, ways: Sequence[Preprocessing], scale: int, turn: int) -> Box:
    """Lets a JPEG be decoded no larger than needed; returns the part that then is the image.

    Where its sides cannot be divided, that is all of it but a fraction of its last column and row.
    Leaving that out keeps every pixel in its place.
    """
    sides = [
        (how.resize, how.resize) if isinstance(how.resize, int) else how.resize[::-1]
        for how in ways
    ]
    # Without a way to preprocess there is nothing to resize to: the smallest will do.
    width, height = (scale * max(side) for side in zip(*sides, strict=True)) if sides else (1, 1)
    if isinstance(image, JpegImageFile) and may_be_averaged(image):
        needed = (height, width) if turn in _TURNED else (width, height)
        if drafted := image.draft(None, needed):
            return drafted[1]
    return (0, 0, *image.size)


def _upright_pixels(image: Image.Image, box: Box, turn: int) -> tuple[Rgb, Box]:
    """Returns a loaded image as RGB and upright, and where the box then is in it."""
    colours = to_rgb(image)
    if turn not in _UPRIGHT:
        return colours, box
    upright = _UPRIGHT[turn]
    rgb = colours.image.transpose(upright)
    alpha = colours.alpha.transpose(upright) if colours.alpha else None
    width, height = box[2:]
    if turn in _TURNED:
        width, height = height, width
    left = rgb.width - width if turn in _RIGHT_TO_LEFT else 0
    top = rgb.height - height if turn in _BOTTOM_UP else 0
    return Rgb(rgb, alpha), (left, top, left + width, top + height)


def _orientation(image: Image.Image, content: bytes) -> int:
    return orientation(content, image.info.get("exif") if image.format == "AVIF" else None)


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
