"""An image in any mode of Pillow -> RGB as a viewer shows it: in sRGB, and on a page.

Imports only Pillow and numpy, as `pixels` does.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, ImageChops

from moderation.images.conversion import in_srgb, is_smooth, moves_colours
from moderation.images.icc import Profile
from moderation.images.profiles import PROFILE
from moderation.images.video_range import VIDEO_RANGE, in_video_range

#: What lies behind a transparent picture: the page of a light theme, or of a dark one.
Background = Literal["white", "dark"]
BACKGROUNDS: dict[Background, str] = {"white": "#ffffff", "dark": "#121212"}

#: ICC's names for the colour spaces whose profiles count for each mode; greys may have colours.
_SPACES = {"L": (b"GRAY", b"RGB "), "RGB": (b"RGB ",), "CMYK": (b"CMYK",)}


class Rgb(NamedTuple):
    """An image as RGB in sRGB, and its opacity as L; None where all of it is opaque.

    Colours are multiplied by the opacity, as a browser keeps them.
    """

    image: Image.Image
    alpha: Image.Image | None = None


def to_rgb(image: Image.Image) -> Rgb:
    """Returns the image as RGB in sRGB, and its opacity.

    16-bit values keep their upper 8 bits. A profile that is broken or for another colour space than
    the image's is ignored, and the image is taken as sRGB, as browsers do.
    """
    colours, alpha = _colours_and_opacity(image)
    if shown := image.info.get(VIDEO_RANGE):
        colours, alpha = in_video_range(colours, alpha, shown)
    # Most images with an alpha channel use none of it; looking is cheaper than blending.
    if alpha is not None and alpha.getextrema() == (255, 255):
        alpha = None
    profile = image.info.get(PROFILE)
    if profile is None or not _fits(profile, image, colours.mode) or not moves_colours(profile):
        rgb = colours.convert("RGB")
        return Rgb(rgb if alpha is None else ImageChops.multiply(rgb, _grey(alpha)), alpha)
    if colours.mode == "L" and len(profile.levels) == 3:
        colours = colours.convert("RGB")
    return Rgb(in_srgb(colours, profile, alpha), alpha)


def _fits(profile: Profile, image: Image.Image, mode: str) -> bool:
    """Whether a profile's colour space counts for an image; a PNG's can be any of 3 channels."""
    if image.format == "PNG" and profile.space not in (b"GRAY", b"CMYK"):
        return True
    return profile.space in _SPACES[mode]


def _grey(channel: Image.Image) -> Image.Image:
    return Image.merge("RGB", [channel] * 3)


def may_be_averaged(image: Image.Image) -> bool:
    """Whether the means of an image's pixels may be taken before its profile is applied."""
    profile: Profile | None = image.info.get(PROFILE)
    return profile is None or is_smooth(profile)


def on_background(rgb: Rgb, background: Background) -> Image.Image:
    """Returns the picture as it looks on a page."""
    if rgb.alpha is None:
        return rgb.image
    page = Image.new("RGB", rgb.image.size, BACKGROUNDS[background])
    through = ImageChops.multiply(page, _grey(ImageChops.invert(rgb.alpha)))
    return ImageChops.add(rgb.image, through)


def _colours_and_opacity(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Returns an image's colours as L, RGB or CMYK, and its opacity, if it has any, as L."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _sixteen_bit_colours(image)
    if not image.has_transparency_data:
        if image.mode in _SPACES:
            return image, None
        return image.convert("L" if image.mode in ("1", "F") else "RGB"), None
    rgba = image.convert("RGBA")
    grey = image.mode in ("1", "L", "LA", "La")
    return rgba.getchannel("R") if grey else rgba.convert("RGB"), rgba.getchannel("A")


def _sixteen_bit_colours(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    values = np.asarray(image)
    grey = Image.fromarray((values.clip(0, 65535).astype(np.uint16) >> 8).astype(np.uint8))
    clear = image.info.get("transparency")
    if not isinstance(clear, int):
        return grey, None
    return grey, Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8))
