"""Still pictures whose files say in many ways what their colours are, right and wrong."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.colour_profiles import grey_profile, rgb_profile
from tests.support.hostile_files import chunk, saved

_RANDOM = np.random.default_rng(13)
_P3 = (0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
_LINEAR = 100_000


def seen_files(photograph: Image.Image) -> dict[str, bytes]:
    """Returns files by name, the name ending as the format does."""
    return dict(
        [
            *_png_files(photograph),
            *_profiles(photograph),
            *_jpeg_and_webp_files(photograph),
            *_bmp_files(photograph),
            *_transparent_files(photograph),
        ]
    )


def _gamma(value: int) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", value))


def _chromaticities(*values: float) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in values)))


def _codes(*values: int) -> bytes:
    return chunk(b"cICP", bytes(values))


def _profile_chunk(profile: bytes, name: bytes = b"a") -> bytes:
    return chunk(b"iCCP", name + b"\0\0" + zlib.compress(profile))


def _png_files(photograph: Image.Image) -> Iterator[tuple[str, bytes]]:
    adobe, p3 = (_profile_chunk(rgb_profile(name)) for name in ("Adobe RGB", "Display P3"))
    srgb, linear, coded = chunk(b"sRGB", b"\0"), _gamma(_LINEAR), _codes(12, 13, 0, 1)
    chunks = {
        "gamma": linear,
        "gammas-two": linear + _gamma(20_000),
        "gamma-and-srgb": linear + srgb,
        "gamma-and-srgb-of-no-intent": linear + chunk(b"sRGB", b"\x09"),
        "gamma-and-srgb-too-long": linear + chunk(b"sRGB", b"\0\0"),
        "gamma-and-primaries": linear + _chromaticities(*_P3),
        "gamma-and-flat-primaries": linear + _chromaticities(*_P3[:2], *(0.3,) * 6),
        "gamma-and-primaries-of-0": linear + _chromaticities(*(0,) * 8),
        "gamma-and-primaries-swapped": linear + _chromaticities(*_P3[:2], *_P3[:1:-1]),
        "gamma-of-srgb-and-primaries": _gamma(45_455) + _chromaticities(*_P3),
        "primaries-alone": _chromaticities(*_P3),
        "profiles-two": adobe + p3,
        "profile-and-srgb": srgb + adobe,
        "profile-and-codes": adobe + coded,
        "profile-and-codes-of-half-range": adobe + _codes(12, 13, 0, 0),
        "profile-and-codes-unknown": adobe + _codes(99, 13, 0, 1),
        "codes-two": coded + _codes(1, 8, 0, 1),
        "profile-broken-and-gamma": _profile_chunk(b"no profile") + linear,
        "profile-not-packed-and-gamma": chunk(b"iCCP", b"a\0\0xxxx") + linear,
        "profile-of-greys-and-gamma": _profile_chunk(grey_profile(1.5)) + linear,
        "profile-broken-and-profile": _profile_chunk(b"no profile") + adobe,
        "profile-without-name": _profile_chunk(rgb_profile("Adobe RGB"), b""),
        "profile-with-long-name": _profile_chunk(rgb_profile("Adobe RGB"), b"a" * 90),
    }
    chunks |= {f"gamma-{v}": _gamma(v) for v in (0, 1, 43_000, 43_500, 47_500, 48_000, 2**31 - 1)}
    chunks |= {f"codes-{code}": _codes(code, 13, 0, 1) for code in range(24)}
    curves = (code for code in range(20) if code not in (16, 18))  # HDR is refused
    chunks |= {f"codes-with-curve-{code}": _codes(1, code, 0, 1) for code in curves}
    for mode in ("RGB", "L"):
        plain = saved(photograph.convert(mode))
        for name, inserted in chunks.items():
            if mode == "RGB" or name in ("gamma", "profiles-two", "profile-of-greys-and-gamma"):
                yield f"{mode}-{name}.png", plain[:33] + inserted + plain[33:]
        end = plain.index(b"IEND") - 4
        for name, late in {"profile": adobe, "gamma": linear, "codes": coded}.items():
            yield f"{mode}-{name}-after-pixels.png", plain[:end] + late + plain[end:]
    palette = saved(photograph.quantize(16))
    at = palette.index(b"IDAT") - 4
    for name, late in {
        "profile": adobe,
        "gamma": linear,
        "codes": coded,
        "srgb": linear + srgb,
    }.items():
        yield f"{name}-after-palette.png", palette[:at] + late + palette[at:]


def icc_profile(space: bytes, target: bytes, tags: dict[bytes, bytes], version: int = 2) -> bytes:
    """Returns an ICC profile of tags."""
    table, data, start = b"", b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    head = struct.pack(">I4xI", start + len(data), version << 24) + b"mntr" + space + target
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061) + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + data


def _noise(count: int, width: int) -> bytes:
    return _RANDOM.integers(0, 256, count * width, dtype=np.uint8).tobytes()


def old_table(channels: int, steps: int, width: int, *, swaps: bool = False) -> bytes:
    """Returns a table of version 2 with noise at its points, and curves like saws before it."""
    head = bytes([channels, 3, steps, 0])
    matrix = (0, 1, 0, 1, 0, 0, 0, 0, 1) if swaps else (1, 0, 0, 0, 1, 0, 0, 0, 1)
    head += struct.pack(">9i", *(65536 * number for number in matrix))
    grid = _noise(3 * steps**channels, width)
    if width == 1:
        saw = bytes(range(0, 256, 2)) * 2
        return b"mft1\0\0\0\0" + head + saw * channels + grid + bytes(range(256)) * 3
    saw = struct.pack(">4H", 0, 65535, 0, 65535)
    curve = struct.pack(">4H", 0, 20000, 40000, 65535)
    return b"mft2\0\0\0\0" + head + struct.pack(">HH", 4, 4) + saw * channels + grid + curve * 3


def new_table(*, grid: bool, matrix: bool, width: int = 1) -> bytes:
    """Returns a table of version 4."""

    def curves(exponent: float) -> bytes:
        return (b"para" + bytes(8) + struct.pack(">i", round(exponent * 65536))) * 3

    parts, places, start = b"", [0, 0, 0, 0, 0], 32
    numbers = (0.8, 0.1, 0, 0.05, 0.9, 0, 0, 0.1, 0.8, 0.01, 0.02, 0.03)
    given = {0: curves(1.1)}
    if matrix:
        given |= {1: struct.pack(">12i", *(round(v * 65536) for v in numbers)), 2: curves(0.9)}
    if grid:
        points = bytes([3, 3, 3, *bytes(13), width, 0, 0, 0]) + _noise(81, width)
        given |= {3: points, 4: curves(1.2)}
    for place, data in given.items():
        places[place] = start + len(parts)
        parts += data + bytes(-len(data) % 4)
    return b"mAB \0\0\0\0\3\3\0\0" + struct.pack(">5I", *places) + parts


def _tables() -> Iterator[tuple[str, bytes]]:
    for target in (b"Lab ", b"XYZ "):
        kind = target.decode().strip()
        for width in (1, 2):
            table = old_table(3, 3, width)
            yield f"table-{8 * width}-{kind}", icc_profile(b"RGB ", target, {b"A2B0": table})
        swapped = old_table(3, 3, 1, swaps=True)
        yield f"table-matrix-{kind}", icc_profile(b"RGB ", target, {b"A2B0": swapped})
        for grid in (True, False):
            for matrix in (True, False):
                name = f"table-4-{kind}-{grid}-{matrix}"
                table = new_table(grid=grid, matrix=matrix)
                yield name, icc_profile(b"RGB ", target, {b"A2B0": table}, 4)
    first, other = old_table(3, 2, 1), old_table(3, 2, 1)
    yield "table-second", icc_profile(b"RGB ", b"Lab ", {b"A2B1": first, b"A2B2": other})
    yield "table-third", icc_profile(b"RGB ", b"Lab ", {b"A2B2": first})
    yield "tables-two", icc_profile(b"RGB ", b"Lab ", {b"A2B1": first, b"A2B0": other})
    yield (
        "table-16-deep",
        icc_profile(b"RGB ", b"Lab ", {b"A2B0": new_table(grid=True, matrix=True, width=2)}, 4),
    )


def curve_profiles() -> Iterator[tuple[str, bytes]]:
    """Yields names and matrix profiles with curves that no camera has."""
    spike = np.linspace(0, 65535, 4096)
    spike[2000:2100] = 0
    for name, curve in {
        "saw": b"curv\0\0\0\0" + struct.pack(">I8H", 8, *(0, 65535) * 4),
        "spike": b"curv\0\0\0\0" + struct.pack(">I", 4096) + spike.astype(">u2").tobytes(),
        "steep": b"para\0\0\0\0\0\0\0\0" + struct.pack(">i", 65536 * 40),
        "bright": b"para\0\0\0\0\0\1\0\0" + struct.pack(">3i", 65536, 65536 * 9, 0),
        "offset": b"para\0\0\0\0\0\2\0\0" + struct.pack(">4i", 131072, 65536, -6554, 6554),
        "two-parts": b"para\0\0\0\0\0\3\0\0" + struct.pack(">5i", 157286, 62119, 3417, 5072, 2651),
        "backwards": b"para\0\0\0\0\0\1\0\0" + struct.pack(">3i", 65536, -65536, 65536),
    }.items():
        points = [(0.436, 0.222, 0.014), (0.385, 0.717, 0.097), (0.143, 0.061, 0.714)]
        tags = {}
        for key, point in zip((b"rXYZ", b"gXYZ", b"bXYZ"), points, strict=True):
            tags[key] = b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in point))
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
        yield f"curve-{name}", icc_profile(b"RGB ", b"XYZ ", tags)


def _profiles(photograph: Image.Image) -> Iterator[tuple[str, bytes]]:
    adobe = rgb_profile("Adobe RGB")
    spoilt = {
        "spoilt-magic": adobe[:36] + b"fake" + adobe[40:],
        "spoilt-red": adobe.replace(b"rXYZ", b"rXXX"),
        "spoilt-link": adobe.replace(b"mntrRGB ", b"linkRGB "),
        "spoilt-version": adobe[:8] + b"\5" + adobe[9:],
        "spoilt-space": adobe.replace(b"RGB XYZ ", b"HSV XYZ "),
        "spoilt-ink": adobe.replace(b"RGB XYZ ", b"CMYKLab "),
        "spoilt-length": b"\0\1\0\0" + adobe[4:],
        "spoilt-white": adobe[:68] + bytes(12) + adobe[80:],
        "cut": adobe[:200],
    }
    for name, profile in [*_tables(), *curve_profiles(), *spoilt.items()]:
        yield f"{name}.png", saved(photograph, icc_profile=profile)
        if name.startswith(("curve", "spoilt")):
            yield f"{name}.jpg", saved(photograph, "JPEG", quality=95, icc_profile=profile)
    grey = icc_profile(b"GRAY", b"Lab ", {b"A2B0": old_table(1, 3, 1)})
    yield "table-of-greys.png", saved(photograph.convert("L"), icc_profile=grey)


def _jpeg_and_webp_files(photograph: Image.Image) -> Iterator[tuple[str, bytes]]:
    adobe, grey = rgb_profile("Adobe RGB"), grey_profile(1.5)
    inks = icc_profile(b"CMYK", b"Lab ", {b"A2B0": old_table(4, 2, 1)})
    profiles = {
        "none": None,
        "adobe": adobe,
        "p3": rgb_profile("Display P3"),
        "grey": grey,
        "inks": inks,
    }
    for name, profile in profiles.items():
        for mode in ("RGB", "L", "CMYK"):
            image = photograph.convert(mode)
            yield f"{mode}-{name}.jpg", saved(image, "JPEG", quality=95, icc_profile=profile)
        image = photograph
        yield f"{name}.webp", saved(image, "WEBP", lossless=True, icc_profile=profile)


def _bmp_files(photograph: Image.Image) -> Iterator[tuple[str, bytes]]:
    adobe = rgb_profile("Adobe RGB")
    p3 = (0.4866, 0.2290, 0, 0.2657, 0.6917, 0.0451, 0.1982, 0.0793, 1.0439)
    for name, kind in {
        "stated": bytes(4),
        "embedded": b"DEBM",
        "linked": b"KNIL",
        "srgb": b"BGRs",
    }.items():
        for length in (108, 124):
            yield f"{name}-{length}.bmp", _bmp(photograph, length, kind, p3, adobe)


def _bmp(
    photograph: Image.Image, length: int, kind: bytes, ends: tuple[float, ...], profile: bytes
) -> bytes:
    pixels = photograph.resize((64, 64)).tobytes("raw", "BGR", 0, -1)
    header = struct.pack("<IiiHHIIiiII", length, 64, 64, 1, 24, 0, len(pixels), 0, 0, 0, 0)
    header += bytes(16) + kind + struct.pack("<9i", *(round(v * 2**30) for v in ends))
    header += struct.pack("<3I", *[65536] * 3)
    if length > 108:
        header += struct.pack("<4I", 4, length + len(pixels), len(profile), 0)
    start, end = 14 + length, 14 + length + len(pixels) + len(profile)
    return b"BM" + struct.pack("<IHHI", end, 0, 0, start) + header + pixels + profile


def _transparent_files(photograph: Image.Image) -> Iterator[tuple[str, bytes]]:
    shape = (photograph.height, photograph.width)
    ramp: npt.NDArray[np.uint8] = np.linspace(0, 255, shape[1]).astype(np.uint8)
    faded = photograph.copy()
    faded.putalpha(Image.fromarray(np.broadcast_to(ramp, shape).copy()))
    white = Image.new("RGB", photograph.size, "white")
    white.putalpha(photograph.convert("L"))
    bright = dict(curve_profiles())["curve-bright"]
    for name, profile in {"": None, "-adobe": rgb_profile("Adobe RGB"), "-bright": bright}.items():
        for kind, image in {"faded": faded, "white": white}.items():
            yield f"transparent-{kind}{name}.png", saved(image, icc_profile=profile)
            lossless = {"lossless": True, "exact": True, "icc_profile": profile}
            yield f"transparent-{kind}{name}.webp", saved(image, "WEBP", **lossless)
    plain = saved(faded)
    yield "transparent-gamma.png", plain[:33] + _gamma(_LINEAR) + plain[33:]
    yield "transparent-codes.png", plain[:33] + _codes(12, 13, 0, 1) + plain[33:]
    palette = photograph.quantize(16)
    yield "transparent-palette.png", saved(palette, transparency=3)
    yield "transparent.gif", saved(palette, "GIF", transparency=3)
    grey = faded.convert("LA")
    yield "transparent-greys.png", saved(grey, icc_profile=grey_profile(1.5))
