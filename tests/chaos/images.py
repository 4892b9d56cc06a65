"""Images for the load: real photographs, each cut differently, and hostile files."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from moderation.commands.samples import sample_photographs
from tests.support.hostile_files import png, saved

#: Longest side: small, since the queue is tested and not the decoder.
_SIDE = 400
_QUALITY = 88

#: Side of the image that takes too long to decode: just below the limit of pixels.
_SLOW_SIDE = 7000

#: The passes of an interlaced PNG: first pixel, and steps between two.
_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


class Photographs:
    """An endless series of different images, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._originals = [_small(path) for path in sample_photographs()]

    def cut(self, number: int) -> bytes:
        """Returns the JPEG with that number: a cut of a photograph, brighter or darker."""
        random = np.random.default_rng([self._seed, number])
        original = self._originals[number % len(self._originals)]
        height, width = original.shape[:2]
        top, bottom = random.integers(0, 1 + height // 10, 2)
        left, right = random.integers(0, 1 + width // 10, 2)
        cut = original[top : height - bottom, left : width - right]
        # Two cuts can be equal; with grain they are not.
        grain = random.normal(0, 4, (*cut.shape[:2], 1))
        pixels = (cut * random.uniform(0.8, 1.1) + grain).clip(0, 255).astype(np.uint8)
        return saved(Image.fromarray(pixels), "JPEG", quality=_QUALITY)


def _small(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    with Image.open(path) as photograph:
        photograph.seek(0)
        small = photograph.convert("RGB")
        small.thumbnail((_SIDE, _SIDE))
        return np.asarray(small).astype(np.float64)


def _noise(number: int) -> bytes:
    return b"\xff\xd8\xff\xe0" + np.random.default_rng(number).bytes(5_000)


def _truncated(number: int) -> bytes:
    whole = Photographs(seed=1_000).cut(number)
    return whole[: len(whole) // 3]


def _bomb(number: int) -> bytes:
    """Returns a PNG of a few bytes that claims to be of 3.6 gigapixels."""
    return png(60_000, 60_000, colour=2, pixels=zlib.compress(bytes(1_000 + number)))


def _slow(number: int) -> bytes:
    """Returns a small PNG that takes seconds: interlaced, 16 bits, transparent, 49 megapixels."""
    # What follows the end of a PNG is not read.
    return _slow_png() + struct.pack(">I", number)


@cache
def _slow_png() -> bytes:
    packer = zlib.compressobj(1)
    packed = b""
    for left, top, across, down in _ADAM7:
        width, rows = -(-(_SLOW_SIDE - left) // across), -(-(_SLOW_SIDE - top) // down)
        row = bytes([4]) + bytes(8 * width)  # the filter that takes longest to undo
        packed += b"".join(packer.compress(row) for _ in range(rows))
    pixels = packed + packer.flush()
    return png(_SLOW_SIDE, _SLOW_SIDE, depth=16, colour=6, interlace=1, pixels=pixels)


#: By kind, what makes a file that `submit` accepts and no worker decides on; the number makes it
#: differ from others of its kind.
HOSTILE: dict[str, Callable[[int], bytes]] = {
    "slow": _slow,
    "noise": _noise,
    "bomb": _bomb,
    "truncated": _truncated,
}
