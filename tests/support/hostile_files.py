"""Files that harm what decodes them, or try to; each made by code, the same at every run."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import Any, Literal, NamedTuple, cast

import numpy as np
from PIL import Image, ImageCms, features

from moderation.images.formats import FORMATS

#: What must become of a file: pixels, an ImageError, or either. It must never crash the decoder or
#: take too long.
Must = Literal["read", "refused", "either"]
Makers = dict[str, Callable[[], bytes]]


class Hostile(NamedTuple):
    """A file with a name; `make` makes it."""

    name: str
    must: Must
    make: Callable[[], bytes]


def _each(
    form: str, wrap: Callable[[bytes], bytes] = bytes, **musts: Mapping[str, Callable[[], bytes]]
) -> Iterator[Hostile]:
    """Yields a file for each maker, named by its format and then by the maker's name.

    Args:
        form: the format.
        wrap: what becomes of what a maker makes.
        musts: the makers by what must become of their files, and by name.
    """
    for must, makers in musts.items():
        for word, make in makers.items():
            yield Hostile(f"{form} {word}", cast(Must, must), partial(_then, make, wrap))


def _then(make: Callable[[], bytes], wrap: Callable[[bytes], bytes]) -> bytes:
    return wrap(make())


def saved(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """Returns the file of an image."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def picture(side: int = 64, mode: str = "RGB") -> Image.Image:
    """Returns a small image with structure and noise."""
    noise = np.random.default_rng(side).integers(0, 64, (side, side, 3), np.uint8)
    ramp = np.linspace(0, 191, side).astype(np.uint8)[np.newaxis, :, np.newaxis]
    return Image.fromarray(noise + ramp).convert(mode)


@cache
def seeds() -> dict[str, bytes]:
    """Returns a good file for each format, and for each kind that is decoded in its own way."""
    others = [picture(40).resize((64, 64)), picture(50).resize((64, 64))]
    moving = {"save_all": True, "append_images": others, "duration": 40}
    files = {form: saved(picture(), form) for form in FORMATS}
    files |= {f"moving {form}": saved(picture(), form, **moving) for form in ("GIF", "WEBP", "PNG")}
    files["moving AVIF"] = saved(picture(), "AVIF", speed=10, **moving)
    files["progressive JPEG"] = saved(picture(), "JPEG", progressive=True)
    files["CMYK JPEG"] = saved(picture(mode="CMYK"), "JPEG")
    files["lossless WEBP"] = saved(picture(mode="RGBA"), "WEBP", lossless=True)
    files["palette PNG"] = saved(picture().quantize(16), "PNG", transparency=3)
    files["16-bit PNG"] = saved(
        Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64)), "PNG"
    )
    files["RLE BMP"] = bmp(bytes([64, 1, 0, 0] * 64 + [0, 1]), compression=1)
    return files


def corpus() -> list[Hostile]:
    """Returns all files, in the same order and under the same names at every call."""
    groups = (
        *(_truncated, _flipped, _sized, _png, _png_animations, _jpeg, _jpeg_frames, _gif, _webp),
        *(_boxes, _bmp, _profiles, _exif, _other_formats, _documents, _polyglots),
    )
    return [hostile for group in groups for hostile in group()]


# Damage that fits any format


def _truncated() -> Iterator[Hostile]:
    for kind in seeds():
        parts = {f"cut at {part:.0%}": part for part in (0.1, 0.3, 0.5, 0.7, 0.9, 0.99)}
        ends = {f"of {n} bytes": n for n in ((2, 4, 8, 12, 16) if kind in FORMATS else (12,))}
        either, refused = (
            {word: partial(_cut, kind, at) for word, at in cuts.items()} for cuts in (parts, ends)
        )
        yield from _each(kind, either=either, refused=refused)


def _cut(kind: str, at: float) -> bytes:
    file = seeds()[kind]
    return file[: at if isinstance(at, int) else int(at * len(file))]


def _flipped() -> Iterator[Hostile]:
    for kind in seeds():
        makers = {f"with flipped bits, {n}": partial(flipped, kind, n) for n in range(6)}
        yield from _each(kind, either=makers)


def flipped(kind: str, number: int) -> bytes:
    """Returns a seed with 1 to 32 bits flipped, most of them in its first 200 bytes."""
    chance = random.Random(f"{kind} {number}")
    file = bytearray(seeds()[kind])
    for _ in range(2**number):
        most = len(file) if chance.random() < 0.3 else min(200, len(file))
        file[chance.randrange(4, most)] ^= 1 << chance.randrange(8)
    return bytes(file)


_LIES = {"nothing": 0, "the largest": 65_535, "as much as a sign": 2**31, "all ones": 2**32 - 1}


def _sized() -> Iterator[Hostile]:
    for word, side in _LIES.items():
        yield Hostile(f"PNG of {word}", "refused", partial(png, side, side))
        yield Hostile(f"BMP of {word}", "refused", partial(bmp, b"", side, side))
        for form in sorted({"AVIF", "HEIF"} & set(FORMATS)):
            yield Hostile(f"{form} of {word}", "refused", partial(_boxed, form, b"ispe", 4, side))
    for word, side in (("nothing", 0), ("the largest", 65_535)):
        yield Hostile(f"JPEG of {word}", "refused", partial(_jpeg_of, side))
        must: Must = "refused" if side else "either"
        yield Hostile(f"GIF of {word}", must, partial(gif, (side, side), TINY_FRAME))
    yield Hostile("WebP canvas of the largest", "refused", partial(_webp_canvas, 2**24 - 1))
    yield Hostile("WebP canvas of 50,000", "refused", partial(_webp_canvas, 50_000))


# PNG


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    """Returns a PNG chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int = 64,
    height: int = 64,
    *before: bytes,
    depth: int = 8,
    colour: int = 0,
    interlace: int = 0,
    pixels: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """Returns a PNG whose chunks and sizes need not fit together."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    data = pixels or zlib.compress(bytes(64 * 65))
    parts = (chunk(b"IHDR", header), *before, chunk(b"IDAT", data), after, chunk(b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@cache
def _bomb(size: int) -> bytes:
    """Returns so many zeros, compressed."""
    return zlib.compress(bytes(size), 9)


def _png() -> Iterator[Hostile]:
    zeros = {size: partial(_bomb, size) for size in (10**6, 10**8)}
    texts: Makers = {
        "zTXt": lambda: chunk(b"zTXt", b"a\0\0" + zeros[10**8]()),
        "iTXt": lambda: chunk(b"iTXt", b"a\0\1\0\0\0" + zeros[10**8]()),
        "iCCP": lambda: chunk(b"iCCP", b"a\0\0" + zeros[10**8]()),
        "tEXt of 10 MB": lambda: chunk(b"tEXt", b"a\0" + bytes(10_000_000)),
        "15,000 zTXt of 1 MB": lambda: 15_000 * chunk(b"zTXt", b"\0\0" + zeros[10**6]()),
        "15,000 iTXt of 1 MB": lambda: 15_000 * chunk(b"iTXt", b"a\0\1\0\xff\0\0" + zeros[10**6]()),
        "15,000 iCCP of 1 MB": lambda: 15_000 * chunk(b"iCCP", b"a\0\0" + zeros[10**6]()),
    }
    after = {f"{word}, after its pixels": make for word, make in texts.items()}
    long: Makers = {"iCCP": texts.pop("iCCP")}
    yield from _each("PNG with a bomb:", lambda text: png(64, 64, text), read=texts, refused=long)
    yield from _each("PNG with a bomb:", lambda text: png(after=text), read=after)
    php = chunk(b"tEXt", b"Comment\0<?php system($_GET[0]); ?>")
    refused: Makers = {
        "of 50,000 x 50,000 zeros": lambda: png(50_000, 50_000, pixels=_bomb(10**8)),
        "of 200,001 chunks": lambda: png(8, 8, chunk(b"prVt") * 200_000),
        "of no data": lambda: png(pixels=b"\0"),
        "of depth 3": lambda: png(depth=3),
        "of colour type 5": lambda: png(colour=5),
        "with a chunk of 2 GB": lambda: png()[:33] + b"\x7f\xff\xff\xffIDAT",
        "with a wrong checksum": lambda: png()[:29] + b"abcd" + png()[33:],
        "with PHP in its text": lambda: png(64, 64, php),
    }
    read: Makers = {
        "of 49 million zeros": lambda: png(7000, 7000, pixels=_bomb(7000 * 7001)),
        "of 64-fold too much data": lambda: png(pixels=_bomb(10**8)),
        "strip of one row": lambda: png(10**6, 1, pixels=_bomb(10**6 + 1)),
        "with 100,000 chunks": lambda: png(64, 64, chunk(b"teSt") * 100_000),
    }
    either: Makers = {
        "with a palette and none there": lambda: png(colour=3),
        "with two headers": lambda: png(64, 64, png()[8:33] * 2),
    }
    yield from _each("PNG", refused=refused, read=read, either=either)


def _png_animations() -> Iterator[Hostile]:
    counts = {n: chunk(b"acTL", struct.pack(">II", n, 0)) for n in (0, 1, 2, 2**31 - 1, 2**32 - 1)}
    boxes = {
        "too wide": (65, 64, 0, 0),
        "outside": (8, 8, 60, 60),
        "empty": (0, 0, 0, 0),
        "vast": (2**31, 2**31, 0, 0),
    }
    makers = {f"that says {n} frames": partial(png, 64, 64, said) for n, said in counts.items()}
    makers |= {f"with a frame {word}": partial(_animated_png, at, 2) for word, at in boxes.items()}
    yield from _each("APNG", either=makers)
    yield Hostile("APNG of 20,000 frames", "read", partial(_animated_png, (1, 1, 0, 0), 20_000))


def _animated_png(box: tuple[int, int, int, int], count: int) -> bytes:
    frames = []
    for number in range(count):
        control = struct.pack(">IIIIIHHBB", 2 * number + 1, *box, 1, 25, 0, 0)
        data = struct.pack(">I", 2 * number + 2) + zlib.compress(bytes(2))
        frames += [chunk(b"fcTL", control), chunk(b"fdAT", data)]
    first = struct.pack(">IIIIIHHBB", 0, 64, 64, 0, 0, 1, 25, 0, 0)
    before = (chunk(b"acTL", struct.pack(">II", count + 1, 0)), chunk(b"fcTL", first))
    return png(64, 64, *before, after=b"".join(frames))


# JPEG


def segment(marker: int, data: bytes) -> bytes:
    """Returns a JPEG segment."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def with_segments(*segments: bytes, kind: str = "JPEG") -> bytes:
    """Returns the JPEG seed with segments put after its start."""
    return seeds()[kind][:2] + b"".join(segments) + seeds()[kind][2:]


def many_scans(side: int, scans: int) -> bytes:
    """Returns a progressive JPEG whose last scan is repeated so many times."""
    file = saved(Image.new("L", (side, side), 90), "JPEG", progressive=True)
    last = file.rindex(b"\xff\xda")
    return file[:-2] + file[last:-2] * scans + file[-2:]


def sequential_scans(side: int, scans: int) -> bytes:
    """Returns a baseline JPEG whose components come in many scans of a few bytes each."""
    file = saved(Image.new("RGB", (side, side), (90, 20, 200)), "JPEG", subsampling=0)
    headers = (struct.pack(">HBBBBBB", 8, 1, 1 + n % 3, 0, 0, 63, 0) for n in range(scans))
    parts = (b"\xff\xda" + header + b"\xab\xcd" for header in headers)
    return file[: file.index(b"\xff\xda")] + b"".join(parts) + file[-2:]


def _patched(kind: str, mark: bytes, offset: int, new: bytes) -> bytes:
    """Returns a seed with bytes replaced, so far after the start of the first mark."""
    file = bytearray(seeds()[kind])
    at = file.index(mark) + offset
    file[at : at + len(new)] = new
    return bytes(file)


def _jpeg_of(side: int) -> bytes:
    return _patched("JPEG", b"\xff\xc0", 5, struct.pack(">HH", side, side))


def _jpeg() -> Iterator[Hostile]:
    seed = seeds()["JPEG"]
    long, short = segment(0xE1, b"Exif\0\0" + bytes(65_000)), segment(0xE1, b"Exif\0\0a")
    notes = b"http://ns.adobe.com/xap/1.0/\0" + b"<x:" * 20_000
    photoshop = b"Photoshop 3.0\x008BIM\x03\xed\0\0\xff\xff\xff\xff"
    scan = b"\xff\xda\0\x0c\3\1\0\2\x11\3\x11\0\x3f\0"
    refused: Makers = {
        "of 100,000 scans": partial(many_scans, 64, 100_000),
        "of 5,000 scans of 4 million pixels": partial(many_scans, 2000, 5000),
        "of 20,000 scans that is not progressive": partial(sequential_scans, 4000, 20_000),
        "of 45 scans of 49 million pixels": partial(sequential_scans, 7000, 45),
        "with EXIF data in 100,000 segments": lambda: with_segments(long * 80, short * 100_000),
        "with a million empty comments": lambda: with_segments(segment(0xFE, b"") * 1_000_000),
        "with a segment that ends after the file": lambda: with_segments(b"\xff\xe1\xff\xff"),
        "with a million fill bytes": lambda: with_segments(b"\xff" * 1_000_000),
        "with a MB between its segments": lambda: with_segments(
            (segment(0xFE, b"") + b"a" * 10_000) * 100
        ),
        "without a frame": lambda: seed.replace(b"\xff\xc0", b"\xff\xee"),
    }
    read: Makers = {
        "of 90 scans": partial(many_scans, 64, 80),
        "of a scan a component": partial(sequential_scans, 64, 3),
        "with 300 comments of 64 kB": lambda: with_segments(segment(0xFE, bytes(65_000)) * 300),
        "with fill bytes": lambda: with_segments(b"\xff" * 60_000),
        "with XMP of 64 kB": lambda: with_segments(segment(0xE1, notes)),
        "with a Photoshop block that lies": lambda: with_segments(segment(0xED, photoshop)),
    }
    either: Makers = {
        "with a segment of length 0": lambda: with_segments(b"\xff\xe1\0\0"),
        "with a segment of length 1": lambda: with_segments(b"\xff\xe1\0\1"),
        "with restart markers": lambda: with_segments(segment(0xDD, b"\0\1")),
        "with restart markers alone": lambda: seed[:-400] + b"\xff\xd0" * 100_000,
        "with two starts": lambda: seed[:2] * 2 + seed[2:],
        "without tables": lambda: seed.replace(b"\xff\xc4", b"\xff\xee"),
        "that ends in its scan": lambda: seed.split(b"\xff\xda")[0] + scan,
    }
    yield from _each("JPEG", refused=refused, read=read, either=either)


def _jpeg_frames() -> Iterator[Hostile]:
    """What the frame header of a JPEG can say."""

    def patched(offset: int, value: int) -> Callable[[], bytes]:
        return partial(_patched, "JPEG", b"\xff\xc0", offset, bytes([value]))

    arithmetic = {"arithmetic": 0xC9, "progressive arithmetic": 0xCA}
    others = {"extended": 0xC1, "lossless": 0xC3, "differential": 0xC5, "unknown": 0xCF}
    refused = {f"that says it is {word}": patched(1, mark) for word, mark in arithmetic.items()}
    refused |= {f"of {bits} bits": patched(4, bits) for bits in (0, 2, 12, 16, 255)}
    refused |= {f"of {layers} components": patched(9, layers) for layers in (0, 2, 4, 255)}
    either = {f"that says it is {word}": patched(1, mark) for word, mark in others.items()}
    either |= {f"sampled as {each:02x}": patched(11, each) for each in (0x00, 0x13, 0x44, 0xFF)}
    yield from _each("JPEG", refused=refused, either=either)
    for colours in range(4):
        adobe = segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([colours]))
        for kind in ("JPEG", "CMYK JPEG"):
            name = f"{kind} whose colours are said to be {colours}"
            yield Hostile(name, "either", partial(with_segments, adobe, kind=kind))


# GIF

#: One pixel.
TINY_FRAME = b",\0\0\0\0\1\0\1\0\0\2\2\x44\1\0"


def gif(size: tuple[int, int], body: bytes, end: bytes = b";") -> bytes:
    """Returns a GIF with a palette of four colours."""
    palette = bytes([0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 255])
    return b"GIF89a" + struct.pack("<HHBBB", *size, 0xF1, 0, 0) + palette + body + end


def _frame(left: int, top: int, width: int, height: int, data: bytes = b"\2\2\x44\1\0") -> bytes:
    return b"," + struct.pack("<HHHHB", left, top, width, height, 0) + data


def _gif() -> Iterator[Hostile]:
    grows = b"".join(_frame(0, 0, side, side) for side in range(1, 20_000, 500))
    clears = b"\2" + (b"\xff" + b"\x24\x92\x49" * 85) * 20_000 + b"\0"
    comments = b"!\xfe" + (b"\xff" + b"a" * 255) * 40_000 + b"\0"
    again = b"!\xf9\4\x0d\0\0\1\0" + TINY_FRAME
    one, eight = (1, 1), (8, 8)
    read: Makers = {
        "of a million frames": lambda: gif(one, TINY_FRAME * 1_000_000),
        "without an end": lambda: gif(one, TINY_FRAME, b""),
        "of a vast screen and many frames": lambda: gif((7000, 7000), TINY_FRAME * 10),
        "with comments of 10 MB": lambda: gif(one, comments + TINY_FRAME),
        "with a million empty comments": lambda: gif(one, b"!\xfe\0" * 1_000_000 + TINY_FRAME),
        "with unknown extensions": lambda: gif(one, b"!\x99\1a\0" * 100_000 + TINY_FRAME),
        "that is made again in each frame": lambda: gif((2000, 2000), again * 600),
    }
    refused: Makers = {
        "of a screen over the limit": lambda: gif((8000, 8000), TINY_FRAME),
        "with a frame of 65,535": lambda: gif(one, _frame(0, 0, 65_535, 65_535)),
        "with no frame": lambda: gif(one, b""),
        "of unknown blocks": lambda: gif(one, b"\x99" * 1_000_000),
    }
    codes = {
        "with LZW codes of 13 bits": b"\x0d\2\x44\1\0",
        "with LZW codes of 255 bits": b"\xff\2\x44\1\0",
        "with LZW codes that are not there": b"\2\4\xff\xff\xff\xff\0",
        "with blocks that do not end": b"\2" + b"\xff" * 100_000,
    }
    either: Makers = {
        "whose frames grow": lambda: gif(one, grows),
        "with a frame far away": lambda: gif(one, _frame(65_535, 65_535, 1, 1)),
        "with an empty frame": lambda: gif(one, _frame(0, 0, 0, 0)),
        "with LZW clear codes alone": lambda: gif((9, 9), _frame(0, 0, 9, 9, clears)),
        **{word: partial(gif, eight, _frame(0, 0, 8, 8, data)) for word, data in codes.items()},
    }
    yield from _each("GIF", read=read, refused=refused, either=either)


# WebP


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """Returns a WebP of these chunks."""
    body = b"".join(
        kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
        for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _webp_canvas(side: int, flags: int = 2, frames: int = 1) -> bytes:
    still = seeds()["lossless WEBP"]
    pixels = still[still.index(b"VP8L") :]
    frame = bytes(6) + (63).to_bytes(3, "little") * 2 + b"\x28\0\0\0" + pixels
    edge = (side - 1 if side < 2**24 - 1 else side).to_bytes(3, "little")
    canvas = (b"VP8X", bytes([flags, 0, 0, 0]) + edge * 2)
    return riff(canvas, (b"ANIM", bytes(6)), *[(b"ANMF", frame)] * frames)


def _webp() -> Iterator[Hostile]:
    seed = seeds()["WEBP"]
    read: Makers = {
        "of 1,000 frames": lambda: _webp_canvas(64, frames=1000),
        "of a vast canvas": lambda: _webp_canvas(5000, frames=3),
    }
    refused: Makers = {
        "with a frame larger than its canvas": lambda: _webp_canvas(32),
        "that says it moves and has no frame": lambda: _webp_canvas(64, frames=0),
        "whose chunk says 4 GB": lambda: seed[:16] + b"\xff" * 4 + seed[20:],
        "of unknown chunks": lambda: riff(*[(b"ABCD", b"")] * 100_000),
        "of nothing": riff,
        "that is sound": lambda: seed[:8] + b"WAVE" + seed[12:],
        "that is film": lambda: seed[:8] + b"AVI " + seed[12:],
    }
    either: Makers = {
        "that is longer than it says": lambda: seed + bytes(1_000_000),
        "that says 4 GB": lambda: seed[:4] + b"\xff" * 4 + seed[8:],
        "that says 0 bytes": lambda: seed[:4] + bytes(4) + seed[8:],
    }
    yield from _each("WebP", read=read, refused=refused, either=either)


# AVIF and HEIF


def box(kind: bytes, data: bytes = b"", size: int | None = None) -> bytes:
    """Returns an ISO media box, which may lie about its size."""
    return struct.pack(">I", len(data) + 8 if size is None else size) + kind + data


def _boxed(form: str, kind: bytes, offset: int, value: int) -> bytes:
    """Returns a seed with a number replaced in its first box of a kind, -8 its size."""
    at = offset + 4
    number = struct.pack(">I", value)
    return _patched(form, kind, at, number * 2 if kind == b"ispe" else number)


def _nested(depth: int) -> bytes:
    kinds = [b"meta", b"iprp", b"ipco"]
    inner = b""
    for level in range(depth):
        inner = box(kinds[level % 3], bytes(4) + inner)
    return inner


def _boxes() -> Iterator[Hostile]:
    for form in sorted({"AVIF", "HEIF"} & set(FORMATS)):
        yield from _boxes_of(form)


def _boxes_of(form: str) -> Iterator[Hostile]:
    seed = seeds()[form]
    brand = seed[: struct.unpack(">I", seed[:4])[0]]
    refused: Makers = {
        "of its brand alone": lambda: brand,
        "of boxes in boxes": lambda: brand + _nested(2000),
        "of a million boxes": lambda: brand + box(b"free") * 1_000_000,
    }
    either: Makers = {
        f"whose {kind.decode()} says {word}": partial(_boxed, form, kind, -8, size)
        for kind in (b"ftyp", b"meta", b"iloc", b"iinf", b"iprp", b"ipco", b"mdat")
        for word, size in {"0": 0, "1": 1, "7": 7, "4 GB": 2**32 - 1}.items()
    }
    either |= {
        "of two metas": lambda: seed + seed,
        "with 20 MB behind it": lambda: seed + bytes(19_000_000),
        "of 65,535 items": partial(_patched, form, b"iinf", 8, b"\xff\xff"),
        "whose image lies outside": partial(_patched, form, b"iloc", 18, b"\xff" * 8),
    }
    yield from _each(form, refused=refused, either=either)


# BMP


def bmp(
    data: bytes,
    width: int = 64,
    height: int = 64,
    *,
    bits: int = 8,
    compression: int = 0,
    colours: int = 2,
    offset: int | None = None,
    header: int = 40,
) -> bytes:
    """Returns a BMP whose parts need not fit together."""
    facts = struct.pack(
        "<IIIHHIIIIII", header, width, height, 1, bits, compression, 0, 0, 0, colours, 0
    )
    palette = b"\0\0\0\0\xff\xff\0\0"
    start = 14 + len(facts) + len(palette) if offset is None else offset
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, start) + facts + palette + data


def _bmp() -> Iterator[Hostile]:
    pixels = bytes(4096)
    old = b"BM" + struct.pack("<IHHIIHHHH", 0, 0, 0, 26 + 768, 12, 64, 64, 1, 8) + bytes(768)
    lying = b"BM" + struct.pack("<IHHIIHHHH", 0, 0, 0, 26, 12, 65_535, 65_535, 1, 24)
    four_bits = b"\xff\x12" * 192_200
    rle = partial(bmp, compression=1)
    refused: Makers = {
        "of 49 million pixels in an RLE of nothing": partial(rle, b"\0\1", 7000, 7000),
        "of 49 million pixels in a row of RLE": partial(rle, b"\1\1\0\0\0\1", 49_000_000, 1),
        "of 49 million pixels in an RLE of 4 bits": partial(
            bmp, four_bits, 7000, 7000, bits=4, compression=2
        ),
        "of negative width": partial(bmp, pixels, 2**32 - 64, 64),
        "of a huge palette": partial(bmp, pixels, colours=2**31),
        "of bits 7": partial(bmp, pixels, bits=7),
        "of bits 0": partial(bmp, pixels, bits=0),
        "that is a JPEG": partial(bmp, seeds()["JPEG"], compression=4),
        "that is a PNG": partial(bmp, seeds()["PNG"], compression=5),
        "whose pixels lie outside": partial(bmp, pixels, offset=2**31),
        "of an unknown header": partial(bmp, pixels, header=77),
        "of a header of 2 GB": partial(bmp, pixels, header=2**31),
        "of OS/2 that lies": partial(bytes, lying),
    }
    read: Makers = {
        "of 4 million pixels in an RLE": partial(
            rle, (b"\xff\1" * 7 + b"\xd7\1\0\0") * 2000, 2000, 2000
        ),
        "upside down": partial(bmp, pixels, 64, 2**32 - 64),
    }
    either: Makers = {
        "with an RLE that runs over": partial(rle, b"\xff\1" * 10_000),
        "with an RLE that jumps": partial(rle, b"\0\2\xff\xff" * 1000),
        "with an RLE that jumps for ever": partial(rle, b"\0\2\0\0" * 100_000),
        "with an RLE of 4 bits": partial(bmp, b"\0\2\xff\xff" * 1000, bits=4, compression=2),
        "with an RLE without end": partial(rle, b"\0\xff"),
        "whose pixels are its header": partial(bmp, pixels, offset=0),
        "of OS/2": partial(bytes, old + pixels),
    }
    yield from _each("BMP", refused=refused, read=read, either=either)


# What goes with an image: profiles and notes


@cache
def srgb() -> bytes:
    """Returns a good ICC profile."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def with_a_program(profile: bytes, length: int) -> bytes:
    """Returns a profile with a D2B0 tag that applies so many matrices, one after the other."""
    matrix = struct.pack(">4s4xHH12f", b"matf", 3, 3, *(0.5, 0, 0, 0, 0.5, 0, 0, 0, 0.5), 0, 0, 0)
    place = struct.pack(">II", 16 + 8 * length, len(matrix))
    program = struct.pack(">4s4xHHI", b"mpet", 3, 3, length) + place * length + matrix
    [count] = struct.unpack_from(">I", profile, 128)
    listed, data = profile[132 : 132 + 12 * count], profile[132 + 12 * count :]
    tags = [
        (sign, offset + 12, size)  # after one tag more, so all data come later
        for sign, offset, size in struct.iter_unpack(">4sII", listed)
    ]
    tags.append((b"D2B0", len(profile) + 12, len(program)))
    body = b"".join(struct.pack(">4sII", *tag) for tag in tags) + data + program
    return struct.pack(">I", 132 + len(body)) + profile[4:128] + struct.pack(">I", count + 1) + body


def with_profile(profile: bytes, count: int | None = None) -> bytes:
    """Returns a JPEG with a profile in segments, which may lie about their number."""
    parts = [profile[at : at + 65_000] for at in range(0, len(profile), 65_000)]
    said = len(parts) if count is None else count
    return with_segments(
        *(
            segment(0xE2, b"ICC_PROFILE\0" + bytes([number, said]) + part)
            for number, part in enumerate(parts, 1)
        )
    )


def _profiles() -> Iterator[Hostile]:
    profiles: Makers = {
        "of 10 MB": lambda: srgb() + bytes(10_000_000),
        "of 10 MB that says so": lambda: (
            struct.pack(">I", 10_000_000) + srgb()[4:] + bytes(10_000_000 - len(srgb()))
        ),
        "of 3.9 MB of tags": lambda: (
            struct.pack(">I", 3_900_000)
            + srgb()[4:128]
            + struct.pack(">I", 325_000)
            + srgb()[132:144] * 325_000
        ),
        "that is a long program": lambda: with_a_program(srgb(), 60_000),
        "that says 4 GB": lambda: b"\xff" * 4 + srgb()[4:],
        "that says 0 bytes": lambda: bytes(4) + srgb()[4:],
        "of 4 billion tags": lambda: srgb()[:128] + b"\xff" * 4 + srgb()[132:],
        "cut": lambda: srgb()[:200],
        "of noise": lambda: random.Random(1).randbytes(3000),
        "for CMYK": lambda: srgb()[:16] + b"CMYK" + srgb()[20:],
        "that links devices": lambda: srgb()[:12] + b"link" + srgb()[16:],
        "whose curves are noise": lambda: (
            srgb()[:300] + random.Random(2).randbytes(len(srgb()) - 300)
        ),
    }
    small = {word: make for word, make in profiles.items() if len(make()) < 10**6}
    long = {word: profiles.pop(word) for word in ("of 10 MB", "of 10 MB that says so")}
    yield from _each("JPEG with a profile", with_profile, read=profiles, refused=long)
    yield from _each("PNG with a profile", lambda p: saved(picture(), icc_profile=p), read=small)
    for count in (0, 1, 255):
        name = f"JPEG with a profile of {count} parts that are 2"
        yield Hostile(name, "read", partial(with_profile, bytes(100_000), count))


def exif(entries: bytes, count: int, following: int = 0) -> bytes:
    """Returns EXIF data of one directory, which may lie about its number of entries."""
    directory = struct.pack("<H", count) + entries + struct.pack("<I", following)
    return b"Exif\0\0II*\0\x08\0\0\0" + directory


def _entry(tag: int, kind: int, count: int, value: int) -> bytes:
    return struct.pack("<HHII", tag, kind, count, value)


def _exif() -> Iterator[Hostile]:
    large = _entry(0x100, 7, 900_000, 8)
    notes: Makers = {
        "whose directory follows itself": lambda: exif(_entry(0x112, 3, 1, 6), 1, following=8),
        "whose EXIF directory is itself": lambda: exif(_entry(0x8769, 4, 1, 8), 1),
        "of 65,535 entries": lambda: exif(_entry(0x112, 3, 1, 6) * 5000, 65_535),
        "of counts of 4 billion": lambda: exif(_entry(0x112, 3, 2**32 - 1, 8) * 100, 100),
        "of orientation 99": lambda: exif(_entry(0x112, 3, 1, 99), 1),
        "of orientation 0": lambda: exif(_entry(0x112, 3, 1, 0), 1),
        "of an orientation of text": lambda: exif(_entry(0x112, 2, 4, 0x41414141), 1),
        "of an orientation of fractions": lambda: exif(_entry(0x112, 5, 1, 8), 1),
        "of many orientations": lambda: exif(_entry(0x112, 3, 2, 6), 1),
        "of an unknown type": lambda: exif(_entry(0x112, 99, 1, 6), 1),
        "outside": lambda: b"Exif\0\0II*\0" + b"\xff" * 4,
        "of nothing": lambda: b"Exif\0\0",
        "of BigTIFF": lambda: b"Exif\0\0II+\0\x08\0\0\0" + b"\xff" * 16,
        "of noise": lambda: b"Exif\0\0" + random.Random(3).randbytes(5000),
        "of 65,535 copies of itself": lambda: exif(large * 65_535, 65_535)[:980_000],
        "of 10 MB": lambda: exif(large * 65_535, 65_535) + bytes(9_000_000),
    }
    yield from _each("PNG with EXIF", lambda d: png(64, 64, chunk(b"eXIf", d[6:])), read=notes)
    yield from _each("JPEG with EXIF", _jpeg_with_exif, read=notes)


def _jpeg_with_exif(data: bytes) -> bytes:
    """Returns a JPEG with EXIF data in as many segments as it takes; Pillow joins them."""
    parts = [data[at : at + 60_000] for at in range(6, max(len(data), 7), 60_000)]
    return with_segments(*(segment(0xE1, b"Exif\0\0" + part) for part in parts))


# What is not an image of an accepted format


def _other_formats() -> Iterator[Hostile]:
    image = picture()
    for form in (
        "TIFF",
        "ICO",
        "TGA",
        "PCX",
        "DDS",
        "SPIDER",
        "PPM",
        "PDF",
        "EPS",
        "ICNS",
        "SGI",
        "XBM",
    ):
        turned = image.convert({"SPIDER": "F", "XBM": "1"}.get(form, "RGB"))
        yield Hostile(f"{form} file", "refused", partial(saved, turned, form))
    if features.check("jpg_2000"):
        yield Hostile("JPEG 2000 file", "refused", partial(saved, image, "JPEG2000"))
    moments = {"save_all": True, "append_images": [image]}
    yield Hostile("MPO file", "read", partial(saved, image, "MPO", **moments))
    im = b"Image type: RGB image\r\nImage size (x*y): 64*64\r\n"
    heads = {
        "PSD": b"8BPS\0\1" + bytes(6) + b"\0\3\0\0\0\x40\0\0\0\x40\0\x08\0\3",
        "WMF": b"\xd7\xcd\xc6\x9a\0\0" + bytes(40),
        "IM": im + bytes(500) + b"\x1a" + bytes(9000),
        "EMF": b"\1\0\0\0\x6c\0\0\0" + bytes(32) + b" EMF" + bytes(100),
        "FITS": b"SIMPLE  =                    T" + b" " * 2850,
        "ELF": b"\x7fELF\2\1\1" + bytes(100),
        "WASM": b"\0asm\1\0\0\0" + bytes(100),
        "MP4": box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41") + box(b"moov"),
        "QuickTime": box(b"ftyp", b"qt  \0\0\2\0") + box(b"moov"),
        "WebM": b"\x1aE\xdf\xa3\x9fB\x86\x81\1B\xf7\x81\1B\xf2\x81\4B\xf3\x81\x08B\x82\x84webm",
        "Windows program": b"MZ\x90\0" + bytes(100),
        "one byte": b"\xff",
        "zeros": bytes(1_000_000),
        "noise": random.Random(4).randbytes(100_000),
    }
    for word, head in heads.items():
        yield Hostile(f"{word} as a file", "refused", partial(bytes, head))


def _documents() -> Iterator[Hostile]:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    entities = b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 10))
    laughs = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "ha">' + entities + b"]><x>&a9;</x>"
    documents = {
        "SVG": svg,
        "SVG with a declaration": b'<?xml version="1.0"?>' + svg,
        "SVGZ": gzip.compress(svg, mtime=0),
        "gzip bomb": gzip.compress(bytes(10_000_000), mtime=0),
        "HTML": b"<!doctype html><script>alert(1)</script>",
        "XML of a billion laughs": laughs,
        "PDF": b"%PDF-1.7\n1 0 obj<</Type/Catalog/OpenAction<</S/JavaScript/JS(app.alert(1))>>>>",
        "PostScript": b"%!PS-Adobe-3.0\n(/etc/passwd) (r) file\n",
        "shell script": b"#!/bin/sh\nid\n",
        "text": b"this is no image\n" * 1000,
        "ZIP": zipped(),
    }
    for word, document in documents.items():
        yield Hostile(f"{word} as a file", "refused", partial(bytes, document))


# Polyglots


def zipped() -> bytes:
    """Returns a ZIP file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("index.html"), "<script>alert(1)</script>")
        archive.comment = b"a comment"
    return buffer.getvalue()


def _polyglots() -> Iterator[Hostile]:
    for kind, seed in seeds().items():
        name = f"{kind} that is a ZIP file too"
        yield Hostile(name, "refused", partial(bytes, seed + zipped()))
    more = seeds()["JPEG"] + zipped() + bytes(10_000)
    yield Hostile("JPEG, ZIP and more", "refused", partial(bytes, more))
    marks = (
        b"%PDF-1.4\n",
        b"<?php phpinfo();",
        b"<?=`$_GET[0]`?>",
        b"<SCRIPT>a()</SCRIPT>",
        b"<!DOCTYPE html>",
        b"<html>",
        b"<svg onload=a()>",
    )
    for mark in marks:
        word = mark.decode().strip()
        comment = b"!\xfe" + bytes([len(mark)]) + mark + b"\0"
        makers: Makers = {
            "JPEG with a comment": partial(with_segments, segment(0xFE, mark)),
            "GIF with a comment": partial(gif, (1, 1), comment + TINY_FRAME),
            "PNG with a text": partial(png, 64, 64, chunk(b"tEXt", b"a\0" + mark)),
        }
        for kind, make in makers.items():
            yield Hostile(f"{kind} {word}", "refused", make)
    # By all that can be told from outside, these two are images and nothing more.
    script, bitmap = b"*/=alert(1)/*", bmp(bytes(4096))
    comment = b"!\xfe" + bytes([len(script)]) + script + b"\0"
    images = {
        "GIF that is JavaScript": gif((10_799, 64), comment + TINY_FRAME),
        "BMP that is JavaScript": bitmap[:2] + b"/*\0\0" + bitmap[6:] + b"*/=1;alert(1)",
    }
    for name, content in images.items():
        yield Hostile(name, "either", partial(bytes, content))
