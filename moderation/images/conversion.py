"""Values of 0 to 255 and a profile -> sRGB, every pixel, as browsers convert.

Imports only Pillow and numpy.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from moderation.images.icc import D50, SRGB_TO_XYZ, Floats, Profile

#: A profile that moves no value by more than this, of 255, counts as sRGB.
_SAME_COLOUR = 2

#: Pixels that are converted at a time, since each takes some 100 bytes meanwhile.
_AT_ONCE = 1 << 18

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
    values = np.asarray(image).reshape(-1, len(profile.levels))
    opacity = None if alpha is None else np.asarray(alpha).reshape(-1, 1)
    done = np.empty((len(values), 3), np.uint8)
    for at in range(0, len(values), _AT_ONCE):
        part = slice(at, at + _AT_ONCE)
        if opacity is None:
            done[part] = converted(values[part], profile)
        else:
            done[part] = _multiplied(values[part], profile, opacity[part])
    return Image.fromarray(done.reshape(image.height, image.width, 3))


def converted(values: npt.NDArray[np.uint8], profile: Profile) -> npt.NDArray[np.uint8]:
    """Returns the (n, 3) values of sRGB for (n, channels) values."""
    light = _xyz(values, profile) @ _XYZ_TO_SRGB.T
    places = np.nan_to_num(light).clip(0, 1) * np.float32(_LIGHT_STEPS - 1) + np.float32(0.5)
    return np.asarray(np.take(_ENCODED, places.astype(np.uint16)))


def _multiplied(
    values: npt.NDArray[np.uint8], profile: Profile, opacity: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    light = np.nan_to_num(_xyz(values, profile) @ _XYZ_TO_SRGB.T).clip(0, None)
    return (_encoded(light) * opacity + 0.5).clip(0, 255).astype(np.uint8)


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


def _xyz(values: npt.NDArray[np.uint8], profile: Profile) -> Floats:
    channels = [np.take(curve, values[:, at]) for at, curve in enumerate(profile.levels)]
    if len(channels) == 1 and profile.grid is None:
        channels *= 3
    found = np.stack(channels, -1) if profile.grid is None else _looked_up(channels, profile.grid)
    for at, curve in enumerate(profile.middle):
        found[:, at] = curve(found[:, at])
    found = found @ profile.matrix[:, :3].T + profile.matrix[:, 3]
    for at, curve in enumerate(profile.last):
        found[:, at] = curve(found[:, at])
    return _from_lab(found) if profile.is_lab else found


def _looked_up(channels: list[Floats], grid: Floats) -> Floats:
    """Returns the values of a table between its nearest points, linearly in each channel."""
    low, share = [], []
    for channel, steps in zip(channels, grid.shape, strict=False):
        place = channel.clip(0, 1) * (steps - 1)
        below = np.minimum(place.astype(np.int32), steps - 2)
        low.append(below)
        share.append(place - below)
    found = np.zeros((len(channels[0]), 3), np.float32)
    for corner in product((0, 1), repeat=len(channels)):
        weight = np.ones(len(channels[0]), np.float32)
        for part, upper in zip(share, corner, strict=True):
            weight *= part if upper else 1 - part
        index = tuple(below + upper for below, upper in zip(low, corner, strict=True))
        found += weight[:, np.newaxis] * grid[index]
    return found


def _from_lab(encoded: Floats) -> Floats:
    scale = np.array([100, 255, 255], np.float32)
    lightness, a, b = (encoded * scale - np.array([0, 128, 128], np.float32)).T
    y = (lightness + 16) / 116
    roots = np.stack([y + a / 500, y, y - b / 200], -1)
    linear = (roots - 16 / 116) * (108 / 841)
    return np.asarray(np.where(roots > 6 / 29, roots**3, linear) * np.array(D50), np.float32)
