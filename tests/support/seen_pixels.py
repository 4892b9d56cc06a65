"""Files of which decoders take other pixels than browsers: colour keys, palettes, missing rows."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

from tests.support.hostile_files import chunk, png, saved

Values = npt.NDArray[np.int64]

_WIDE, _HIGH = 32, 16
_RANDOM = np.random.default_rng(14)
_GREYS, _COLOURS, _NUMBERS = 0, 2, 3
#: That a WebP has opacity: among its flags, and in the fifth byte of lossless data.
_FILE_HAS, _DATA_HAVE = 0x10, 0x10


def pixel_files() -> Iterator[tuple[str, bytes]]:
    """Yields names and files that are read as a browser reads them."""
    for bits in (1, 2, 4, 8, 16):
        for key in {0, 1, 2**bits - 1}:
            name = f"grey-{bits}-bits-without-{key}.png"
            yield name, _png(_values(min(bits, 8)), bits, _GREYS, _key(key))
    numbers, palette, opacities = _values(3), _palette(8), chunk(b"tRNS", bytes((0, 128)))
    other = chunk(b"tRNS", bytes((255, 0, 0)))
    for name, chunks in {
        "opacities": (palette, opacities),
        "opacities-before-palette": (opacities, palette),
        "opacities-twice": (palette, opacities, other),
        "opacities-empty": (palette, chunk(b"tRNS", b""), opacities),
    }.items():
        yield f"{name}.png", _png(numbers, 8, _NUMBERS, *chunks)
    yield "opacities-late.png", _late(_png(numbers, 8, _NUMBERS, palette), opacities)
    colours = _RANDOM.integers(0, 3, (_HIGH, 3 * _WIDE))
    first, second = _key(1, 1, 1), _key(0, 0, 0)
    yield "keys-two.png", _png(colours, 8, _COLOURS, first, second)
    yield "keys-late.png", _late(_png(colours, 8, _COLOURS), second)
    yield "opacity-not-in-data.webp", _faded_webp(_FILE_HAS, data=False)
    yield "frame-smaller-than-canvas.webp", _part_of_canvas()
    yield "opacity.webp", _faded_webp(_FILE_HAS, data=True)
    yield "bits-of-black-and-white.bmp", _bmp(_values(1), 1, [0x000000, 0xFFFFFF])
    yield "numbers.bmp", _bmp(numbers, 8, [0x102030 * n for n in range(8)])


def misread_files(photograph: Image.Image) -> dict[str, bytes]:
    """Returns files that a browser draws otherwise than they can be read here, by name."""
    files = {}
    for bits, key in ((1, 2), (1, 3), (2, 5), (4, 17), (8, 257)):
        files[f"grey-{bits}-bits-without-{key}.png"] = _png(_values(bits), bits, _GREYS, _key(key))
    colours = _RANDOM.integers(0, 3, (_HIGH, 3 * _WIDE))
    files["key-of-9-bits.png"] = _png(colours, 8, _COLOURS, _key(257, 1, 1))
    files["key-of-16-bits.png"] = _png(257 * colours, 16, _COLOURS, _key(257, 257, 257))
    files["palette-too-short.png"] = _png(_values(3), 8, _NUMBERS, _palette(4))
    cut = chunk(b"PLTE", bytes(range(22)))
    files["palette-cut.png"] = _png(_values(3), 8, _NUMBERS, cut)
    rows = [b"\0" + row.tobytes() for row in np.asarray(photograph)]
    for name, count in {"half": len(rows) // 2, "all-but-one": len(rows) - 1, "one": 1}.items():
        packed = zlib.compress(b"".join(rows[:count]))
        files[f"rows-{name}.png"] = png(*photograph.size, depth=8, colour=_COLOURS, pixels=packed)
    black = Image.new("RGB", (40, 40))
    packed = zlib.compress((b"\0" + bytes(120)) * 39)
    files["rows-of-black.png"] = png(*black.size, depth=8, colour=_COLOURS, pixels=packed)
    for bits in (4, 8):
        files[f"black-and-white-in-{bits}-bits.bmp"] = _bmp(_values(1), bits, [0x000000, 0xFFFFFF])
        files[f"palette-of-black-in-{bits}-bits.bmp"] = _bmp(_values(1), bits, [0x000000])
    files["palette-too-short.bmp"] = _bmp(_values(3), 8, [0x102030 * n for n in range(4)])
    for data in (True, False):
        files[f"opacity-not-announced-{data}.webp"] = _faded_webp(0, data=data)
    alone = bytearray(saved(_faded(), "WEBP", lossless=True, exact=True))
    alone[24] &= ~_DATA_HAVE
    files["opacity-not-announced.webp"] = bytes(alone)
    moving = {"save_all": True, "append_images": [_faded().rotate(180)], "duration": 100_000}
    animation = bytearray(saved(_faded(), "WEBP", lossless=True, exact=True, **moving))
    animation[20] &= ~_FILE_HAS
    files["opacity-not-announced-moving.webp"] = bytes(animation)
    files["opacity-in-16-bits.bmp"] = _opacity_in_16_bits()
    return files


def _values(bits: int) -> Values:
    return _RANDOM.integers(0, 1 << bits, (_HIGH, _WIDE))


def _key(*values: int) -> bytes:
    return chunk(b"tRNS", struct.pack(f">{len(values)}H", *values))


def _palette(count: int) -> bytes:
    return chunk(b"PLTE", _RANDOM.integers(0, 256, 3 * count, dtype=np.uint8).tobytes())


def _late(content: bytes, late: bytes) -> bytes:
    end = content.index(b"IEND") - 4
    return content[:end] + late + content[end:]


def _packed(row: Values, bits: int) -> bytes:
    """Returns values of that many bits each, the first in the upper ones."""
    places = np.arange(bits)[::-1]
    return np.packbits((row[:, np.newaxis] >> places & 1).astype(np.uint8).ravel()).tobytes()


def _png(values: Values, bits: int, colour: int, *chunks: bytes) -> bytes:
    rows = b"".join(b"\0" + _packed(row, bits) for row in values)
    return png(_WIDE, _HIGH, *chunks, depth=bits, colour=colour, pixels=zlib.compress(rows))


def _bmp(values: Values, bits: int, colours: list[int]) -> bytes:
    pixels = b"".join(_packed(row, bits).ljust(_WIDE * bits // 8, b"\0") for row in values[::-1])
    palette = struct.pack(f"<{len(colours)}I", *colours)
    start = 54 + len(palette)
    head = struct.pack(
        "<IHHIIiiHHIIiiII",
        start + len(pixels),
        0,
        0,
        start,
        40,
        _WIDE,
        _HIGH,
        1,
        bits,
        0,
        len(pixels),
        0,
        0,
        len(colours),
        0,
    )
    return b"BM" + head + palette + pixels


def _faded() -> Image.Image:
    return Image.fromarray(_RANDOM.integers(0, 256, (_HIGH, _WIDE, 4), dtype=np.uint8))


def _faded_webp(flags: int, *, data: bool) -> bytes:
    """Returns a lossless WebP with opacity, of which its head and its data say so or not."""
    coded = bytearray(saved(_faded(), "WEBP", lossless=True, exact=True)[12:])
    if not data:
        coded[12] &= ~_DATA_HAVE
    size = (_WIDE - 1).to_bytes(3, "little") + (_HIGH - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<II", 10, flags) + size + coded
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _part_of_canvas() -> bytes:
    """Returns an animated WebP whose one frame covers a part of the canvas, at (10, 4)."""
    values = _RANDOM.integers(0, 256, (_HIGH, _WIDE, 3), dtype=np.uint8)
    coded = saved(Image.fromarray(values), "WEBP", lossless=True)[12:]
    place = (5, 2, _WIDE - 1, _HIGH - 1, 100_000)
    frame = b"".join(number.to_bytes(3, "little") for number in place) + b"\2" + coded
    size = (2 * _WIDE - 1).to_bytes(3, "little") + (2 * _HIGH - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<II", 10, 2) + size
    body += b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    body += (b"ANMF" + struct.pack("<I", len(frame)) + frame) * 2
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _opacity_in_16_bits() -> bytes:
    pixels = _RANDOM.integers(0, 256, 2 * _WIDE * _HIGH, dtype=np.uint8).tobytes()
    head = struct.pack("<IiiHHIIiiII", 124, _WIDE, _HIGH, 1, 16, 3, len(pixels), 0, 0, 0, 0)
    head += struct.pack("<4I", 0x7C00, 0x3E0, 0x1F, 0x8000) + b"BGRs" + bytes(64)
    return b"BM" + struct.pack("<IHHI", 138 + len(pixels), 0, 0, 138) + head + pixels
