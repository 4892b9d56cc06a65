"""AVIF files whose colours, opacity and range are stated in several places, or nowhere."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

from benchmarks.colour_profiles import rgb_profile
from tests.support.hostile_files import saved

_BEST = {"quality": 90, "subsampling": "4:4:4"}
#: The head of AV1 data that Pillow writes for a still of 96 x 64 pixels, in bytes; after its codes
#: come so many bits.
_HEAD, _BITS_AFTER = 9, 9


def avif_files(photograph: Image.Image) -> Iterator[tuple[str, bytes]]:
    """Yields names and files of a photograph of 96 x 64 pixels."""
    plain = saved(photograph, "AVIF", **_BEST)
    at = plain.index(b"nclx") + 4
    codes = {(code, 13) for code in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 22, 99)}
    codes |= {(1, code) for code in range(20) if code not in (9, 10, 11, 12, 16, 18)}
    codes |= {(2, 8), (9, 2), (9, 1), (9, 14), (0, 8), (12, 3), (99, 4), (15, 8)}
    for pair in sorted(codes):
        stated = plain[:at] + struct.pack(">HH", *pair) + plain[at + 4 :]
        yield "codes-{}-{}.avif".format(*pair), stated
    yield "adobe.avif", saved(photograph, "AVIF", **_BEST, icc_profile=rgb_profile("Adobe RGB"))
    for primaries, transfer in ((1, 13), (2, 2), (12, 13), (1, 8), (9, 14), (22, 4), (99, 13)):
        name = f"codes-{primaries}-{transfer}-in-data"
        data = with_codes_in_data(plain, primaries, transfer)
        yield f"{name}.avif", without_stated_codes(data)
        yield f"{name}-and-others-stated.avif", data
    yield from _transparent(photograph)
    yield from _moving(photograph)


def with_codes_in_data(content: bytes, primaries: int, transfer: int) -> bytes:
    """Returns a still AVIF whose data state other codes."""
    at = content.index(b"\x0a" + bytes([_HEAD]), content.index(b"mdat")) + 2
    bits = int.from_bytes(content[at : at + _HEAD])
    matrix = bits >> _BITS_AFTER & 255
    codes = primaries << 16 | transfer << 8 | matrix
    bits = bits & ~(0xFFFFFF << _BITS_AFTER) | codes << _BITS_AFTER
    return content[:at] + bits.to_bytes(_HEAD) + content[at + _HEAD :]


def without_stated_codes(content: bytes) -> bytes:
    """Returns an AVIF whose boxes say nothing of its colours."""
    return content.replace(b"colrnclx", b"freenclx")


def _transparent(photograph: Image.Image) -> Iterator[tuple[str, bytes]]:
    shape = (photograph.height, photograph.width)
    noise = np.random.default_rng(15).integers(0, 256, shape, dtype=np.uint8)
    ramp = np.broadcast_to(np.linspace(0, 255, shape[1]).astype(np.uint8), shape)
    for name, opacity in {"noise": noise, "ramp": ramp}.items():
        faded = photograph.copy()
        faded.putalpha(Image.fromarray(opacity.copy()))
        for values in ("full", "limited"):
            yield f"opacity-{name}-{values}.avif", saved(faded, "AVIF", **_BEST, range=values)
        profile = rgb_profile("Display P3")
        yield f"opacity-{name}-p3.avif", saved(faded, "AVIF", **_BEST, icc_profile=profile)
        yield f"opacity-{name}-moving.avif", _animation(faded)


def _moving(photograph: Image.Image) -> Iterator[tuple[str, bytes]]:
    for values in ("full", "limited"):
        content = _animation(photograph, range=values)
        yield f"moving-{values}.avif", content
        yield f"moving-{values}-nothing-stated.avif", without_stated_codes(content)


def _animation(first: Image.Image, **options: str) -> bytes:
    """Returns an animation whose first frame stays for 100 seconds."""
    second = first.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    moving = {"save_all": True, "append_images": [second], "duration": 100_000}
    return saved(first, "AVIF", **_BEST, **moving, **options)
