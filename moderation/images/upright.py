"""An opened picture -> decoded no larger than needed, in RGB, and upright."""

from __future__ import annotations

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from moderation.images.colours import Rgb, may_be_averaged, to_rgb
from moderation.images.orientation import orientation
from moderation.images.views import Box

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
TURNED, _RIGHT_TO_LEFT, _BOTTOM_UP = (5, 6, 7, 8), (2, 3, 6, 7), (3, 4, 7, 8)


def draft_pixels(image: Image.Image, needed: tuple[int, int], turn: int) -> Box:
    """Lets a JPEG be decoded no larger than needed; returns the part that then is the image.

    Where its sides cannot be divided, that is all of it but a fraction of its last column and row.
    Leaving that out keeps every pixel in its place.
    """
    width, height = needed
    if isinstance(image, JpegImageFile) and may_be_averaged(image):
        size = (height, width) if turn in TURNED else (width, height)
        if drafted := image.draft(None, size):
            return drafted[1]
    return (0, 0, *image.size)


def upright_pixels(image: Image.Image, box: Box, turn: int) -> tuple[Rgb, Box]:
    """Returns a loaded image as RGB and upright, and where the box then is in it."""
    colours = to_rgb(image)
    if turn not in _UPRIGHT:
        return colours, box
    upright = _UPRIGHT[turn]
    rgb = colours.image.transpose(upright)
    alpha = colours.alpha.transpose(upright) if colours.alpha else None
    width, height = box[2:]
    if turn in TURNED:
        width, height = height, width
    left = rgb.width - width if turn in _RIGHT_TO_LEFT else 0
    top = rgb.height - height if turn in _BOTTOM_UP else 0
    return Rgb(rgb, alpha), (left, top, left + width, top + height)


def file_turn(image: Image.Image, content: bytes) -> int:
    """Returns how the picture of an opened file is turned, as an orientation of EXIF."""
    return orientation(content, image.info.get("exif") if image.format == "AVIF" else None)
