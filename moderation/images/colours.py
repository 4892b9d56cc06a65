"""An image in any mode of Pillow -> RGB as a viewer shows it: on white, and in sRGB.

Imports only Pillow and numpy, as `pixels` does.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms

from moderation.images.png_chunks import LONGEST_PROFILE

#: A profile that moves no colour by more than this, of 255, counts as sRGB and is not worth a
#: conversion. This is measured, since with a profile that only calls itself sRGB people could see
#: another image than the model sees.
_SAME_COLOUR = 2

#: Tags that describe a transform as a program of any length; 400 bytes of a PNG can make one run
#: for a minute. No browser reads them: each such profile has the older tags too, which are used.
_PROGRAMS = re.compile(rb"D2B(?=[0-3])")
_HEADER_LENGTH, _TAG_LENGTH = 128, 12

#: ICC's name for the colour space of each mode that is converted.
_SPACES = {"L": "GRAY", "RGB": "RGB ", "CMYK": "CMYK"}


class Rgb(NamedTuple):
    """An image as RGB, and what converts it, or a part of it, to sRGB where it is in another space.

    The two are separate because converting the few pixels that a model takes costs next to nothing,
    and converting 12 million costs as much as decoding them did.
    """

    image: Image.Image
    to_srgb: Callable[[Image.Image], Image.Image] | None = None


def to_rgb(image: Image.Image) -> Rgb:
    """Returns the image as RGB, with white behind what is transparent.

    16-bit values keep their upper 8 bits. A profile that is broken, too long or for another colour
    space than the image's is ignored, and the image is taken as sRGB, as browsers do.
    """
    colours, alpha = _colours_and_opacity(image)
    profile = image.info.get("icc_profile")
    is_usable = isinstance(profile, bytes) and 0 < len(profile) <= LONGEST_PROFILE
    transform = _srgb_transform(profile, colours.mode) if is_usable else None
    if transform and colours.mode == "CMYK":  # inks have no colour until they are converted
        return Rgb(transform.apply(colours))
    rgb = colours if colours.mode == "RGB" else colours.convert("RGB")
    # Most images with an alpha channel use none of it; looking is cheaper than blending.
    if alpha is not None and alpha.getextrema() != (255, 255):
        rgb.putalpha(alpha)
        rgb = Image.alpha_composite(Image.new("RGBA", rgb.size, "white"), rgb).convert("RGB")
    if transform is None:
        return Rgb(rgb)
    is_grey = colours.mode == "L"
    return Rgb(rgb, lambda part: transform.apply(part.getchannel("R") if is_grey else part))


def _colours_and_opacity(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Returns an image's colours as L, RGB or CMYK, and its opacity, if it has any, as L."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _sixteen_bit_colours(image)
    if not image.has_transparency_data:
        if image.mode in _SPACES:
            return image, None
        return image.convert("L" if image.mode in ("1", "F") else "RGB"), None
    rgba = _eight_bit_colour_key(image).convert("RGBA")
    grey = image.mode in ("1", "L", "LA", "La")
    return rgba.getchannel("R") if grey else rgba.convert("RGB"), rgba.getchannel("A")


def _sixteen_bit_colours(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    values = np.asarray(image)
    grey = Image.fromarray((values.clip(0, 65535).astype(np.uint16) >> 8).astype(np.uint8))
    clear = image.info.get("transparency")
    if not isinstance(clear, int):
        return grey, None
    return grey, Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8))


def _eight_bit_colour_key(image: Image.Image) -> Image.Image:
    """Returns the image with its transparent colour in 8 bits, as its pixels already are."""
    clear = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(clear, tuple) and max(clear) > 255:
        image.info["transparency"] = tuple(value >> 8 for value in clear)
    return image


@lru_cache(maxsize=8)
def _srgb_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Returns what converts a mode from a profile; None where that is needless or impossible."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(_profile_without_programs(profile)))
        if source.profile.xcolor_space != _SPACES[mode]:
            return None
        srgb = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(source, srgb, mode, "RGB")
    except (ImageCms.PyCMSError, ImportError, OSError, TypeError, ValueError):
        return None  # ImportError: this Pillow was built without colour management
    return transform if mode == "CMYK" or _moves_colours(transform, mode) else None


def _profile_without_programs(profile: bytes) -> bytes:
    """Returns the profile with the tags that are programs renamed in its list of tags."""
    tags = _HEADER_LENGTH + 4
    end = tags + _TAG_LENGTH * int.from_bytes(profile[_HEADER_LENGTH:tags])
    return profile[:tags] + _PROGRAMS.sub(b"off", profile[tags:end]) + profile[end:]


def _moves_colours(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a transform moves a grey, or a colour of a lattice of 9 levels a channel."""
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    lattice = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    ramp = np.arange(256, dtype=np.uint8)[np.newaxis]
    probe = Image.fromarray(ramp if mode == "L" else lattice)
    before = np.asarray(probe.convert("RGB"), np.int16)
    return bool(abs(np.asarray(transform.apply(probe), np.int16) - before).max() > _SAME_COLOUR)
