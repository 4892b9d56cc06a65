"""Values of 0 to 255 and a profile -> sRGB, every pixel, as browsers convert.

Imports only Pillow and numpy.
"""

from __future__ import annotations

from functools import lru_cache, partial
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from moderation.images.colour_memory import ColourMemory
from moderation.images.colour_table import Bytes, ColourTable
from moderation.images.icc import D50, SRGB_TO_XYZ, Profile
from moderation.images.icc_curves import Floats

#: A profile that moves no value by more than this, of 255, counts as sRGB.
_SAME_COLOUR = 2

#: Pixels that are converted at a time: few enough that what they need meanwhile, some 200 bytes
#: each, stays in the processor's cache.
_AT_ONCE = 1 << 13

#: How far a smooth profile's primaries may be from sRGB's; ProPhoto RGB, a wide one, is at 1.
_MOST_SPREAD = 1.2

_XYZ_TO_SRGB = np.linalg.inv(SRGB_TO_XYZ).astype(np.float32)

#: Steps of light for which sRGB values are tabled; at the dark end one is a fifth of a value.
_LIGHT_STEPS = 1 << 14


def in_srgb(image: Image.Image, profile: Profile, alpha: Image.Image | None = None) -> Image.Image:
    """Returns an image of as many channels as the profile has, L, RGB or CMYK, as sRGB.

    With an opacity, colours are multiplied by it. Those brighter than white stay so until then, as
    in browsers: a picture can be a hundred times as bright and hardly opaque.
    """
    if image.mode == "RGB" and alpha is None:
        return _memory(profile).converted(image)
    values = np.asarray(image).reshape(-1, len(profile.levels))
    opacity = None if alpha is None else np.asarray(alpha).reshape(-1)
    done = converted(values, profile, opacity)
    return Image.fromarray(done.reshape(image.height, image.width, 3))


@lru_cache(maxsize=2)
def _memory(profile: Profile) -> ColourMemory:
    """Returns the memory of a profile's colours; one process meets the same few again and again."""
    return ColourMemory(partial(converted, profile=profile))


def converted(values: Bytes, profile: Profile, opacity: Bytes | None = None) -> Bytes:
    """Returns the (n, 3) values of sRGB for (n, channels) values, times (n,) opacities."""
    table = None if profile.grid is None else ColourTable.of(profile.levels, profile.grid)
    done = np.empty((len(values), 3), np.uint8)
    with np.errstate(over="ignore", invalid="ignore"):
        for at in range(0, len(values), _AT_ONCE):
            part = slice(at, at + _AT_ONCE)
            light = _light(values[part], profile, table)
            if opacity is None:
                done[part] = _encoded_in_bytes(light).T
            else:
                done[part] = _multiplied(light, opacity[part]).T
    return done


def _encoded_in_bytes(light: Floats) -> Bytes:
    places = np.fmin(light, 1) * np.float32(_LIGHT_STEPS - 1) + np.float32(0.5)
    return np.asarray(np.take(_ENCODED, places.astype(np.intp)))


def _multiplied(light: Floats, opacity: Bytes) -> Bytes:
    return np.asarray(np.fmin(_encoded(light) * opacity + np.float32(0.5), 255).astype(np.uint8))


def _encoded(light: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Returns sRGB values, 1 being white, for light of 0 or more (IEC 61966-2-1)."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


_ENCODED = (255 * _encoded(np.linspace(0, 1, _LIGHT_STEPS)) + 0.5).astype(np.uint8)


def moves_colours(profile: Profile) -> bool:
    """Whether a profile moves a colour; a profile with tables is always taken to do so."""
    return profile.has_tables or _moves_colours(profile)


@lru_cache(maxsize=16)
def _moves_colours(profile: Profile) -> bool:
    ramp = np.arange(256, dtype=np.uint8)[:, np.newaxis]
    if len(profile.levels) == 1:
        return bool(abs(converted(ramp, profile).astype(int) - ramp).max() > _SAME_COLOUR)
    probes = [ramp * np.array(on, np.uint8) for on in product((0, 1), repeat=3)]
    probe = np.concatenate(probes)
    return bool(abs(converted(probe, profile).astype(int) - probe).max() > _SAME_COLOUR)


def is_smooth(profile: Profile) -> bool:
    """Whether it may be applied to the mean of pixels as well as to each pixel.

    So it is with every camera's and telephone's: curves rise all the way as sRGB's do, or nearly.
    """
    return not profile.has_tables and len(profile.levels) == 3 and _is_smooth(profile)


@lru_cache(maxsize=16)
def _is_smooth(profile: Profile) -> bool:
    level = np.linspace(0, 1, 256)
    if abs(_XYZ_TO_SRGB @ profile.matrix[:, :3] - np.eye(3)).max() > _MOST_SPREAD:
        return False
    return all(
        bool((np.diff(curve) >= 0).all()) and abs(curve - level**2.2).max() < 0.1
        for curve in profile.levels
    )


def _light(values: Bytes, profile: Profile, table: ColourTable | None) -> Floats:
    """Returns (3, n) light of sRGB's red, green and blue; 0 or more, and where 1 is white."""
    if table is not None:
        found = table.interpolated(values)
    else:
        levels = [np.take(curve, values[:, at]) for at, curve in enumerate(profile.levels)]
        found = np.stack(levels * (3 // len(levels)))
    for channel, curve in zip(found, profile.middle, strict=False):
        channel[:] = curve(channel)
    matrix = profile.matrix
    if not (profile.last or profile.is_lab):  # one matrix does for both
        matrix = _XYZ_TO_SRGB @ matrix
    found = matrix[:, :3] @ found + matrix[:, 3:]
    for channel, curve in zip(found, profile.last, strict=False):
        channel[:] = curve(channel)
    if profile.is_lab:
        found = _XYZ_TO_SRGB @ _from_lab(found)
    elif profile.last:
        found = _XYZ_TO_SRGB @ found
    return np.fmax(found, 0)  # NaN becomes 0 too


def _from_lab(encoded: Floats) -> Floats:
    lightness, a, b = encoded
    y = (lightness * 100 + 16) / 116
    roots = np.stack([y + (a * 255 - 128) / 500, y, y - (b * 255 - 128) / 200])
    linear = (roots - np.float32(16 / 116)) * np.float32(108 / 841)
    found = np.where(roots > 6 / 29, roots * roots * roots, linear)
    return np.asarray(found * np.array(D50, np.float32)[:, np.newaxis])
