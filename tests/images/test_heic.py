"""HEIC files compared with what libheif's own program makes of them.

libheif decodes, turns and crops, and leaves colours to others. So what it writes is a PNG, which
gets what the HEIC states of its colours and is read as any PNG is; that is compared with browsers.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.colour_profiles import rgb_profile
from moderation.images.pixels import decode
from tests.support.heic_files import coded, crop, heic, mirror, nclx, profile, turn
from tests.support.hostile_files import chunk

pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")

CONVERT = shutil.which("heif-convert") or shutil.which("heif-dec")

pytestmark = pytest.mark.skipif(
    CONVERT is None or shutil.which("heif-enc") is None,
    reason="heif-enc and heif-convert (libheif-examples) are not on the PATH",
)

#: No value of any pixel, of 255, may be further off; the two versions of libheif agreed wholly.
TOLERANCE = 1

SIZE = (96, 64)
ADOBE, P3 = rgb_profile("Adobe RGB"), rgb_profile("Display P3")
#: Of the codes of matrices, BT.709, BT.601 in both its forms, and BT.2020. RGB is left out: libheif
#: 1.15 and 1.23 read it differently in video range.
MATRICES = (1, 5, 6, 9)

#: Properties by name, and the codes by which a PNG states the same colours.
PROPERTIES: dict[str, tuple[tuple[bytes, ...], tuple[int, ...]]] = {
    "nothing": ((), ()),
    **{
        f"matrix {matrix}, {'full' if full else 'video'} range": (
            (nclx(1, 13, matrix, full=full),),
            (),
        )
        for matrix in MATRICES
        for full in (True, False)
    },
    **{
        f"codes {codes}": ((nclx(*codes, 6, full=True),), (*codes, 0, 1))
        for codes in ((12, 13), (9, 13), (1, 8), (22, 13))
    },
    "profile": ((profile(ADOBE),), ()),
    "profile before codes": ((profile(ADOBE), nclx(1, 8, 6, full=True)), ()),
    "codes before profile": ((nclx(1, 8, 6, full=True), profile(P3)), ()),
    **{f"turned {quarters} times": ((turn(quarters),), ()) for quarters in (1, 2, 3)},
    **{f"mirrored, {axis}": ((mirror(axis),), ()) for axis in (0, 1)},
    "turned and mirrored": ((turn(1), mirror(0)), ()),
    "mirrored and turned": ((mirror(0), turn(1)), ()),
    "cropped": ((crop(40, 30),), ()),
    "cropped at a side and turned": ((crop(40, 30, 10, -8), turn(1)), ()),
    "turned and cropped": ((turn(1), crop(30, 40, 10, -8)), ()),
}

#: The same, of four pictures in a grid of 2 x 2.
OF_GRID: dict[str, tuple[tuple[bytes, ...], tuple[int, ...]]] = {
    "nothing": ((), ()),
    "profile": ((profile(P3),), ()),
    "codes": ((nclx(12, 13, 6, full=True),), (12, 13, 0, 1)),
    "turned": ((turn(1),), ()),
    "cropped": ((crop(100, 50, 9, 9),), ()),
}


@pytest.fixture(scope="module")
def libheif(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], bytes]:
    """Returns what makes a PNG of a HEIC."""
    folder = tmp_path_factory.mktemp("libheif")

    def converted(content: bytes) -> bytes:
        source, made = folder / "source.heic", folder / "made.png"
        source.write_bytes(content)
        subprocess.run([str(CONVERT), source, made], check=True, capture_output=True)
        return made.read_bytes()

    return converted


@pytest.fixture(scope="module")
def tiles(
    coffee: Image.Image, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[bytes, bytes]]:
    """Four parts of a photograph, coded."""
    folder: Path = tmp_path_factory.mktemp("tiles")
    whole = coffee.resize((2 * SIZE[0], 2 * SIZE[1]))
    places = [(x, y) for y in (0, SIZE[1]) for x in (0, SIZE[0])]
    return [coded(whole.crop((x, y, x + SIZE[0], y + SIZE[1])), folder) for x, y in places]


def difference(content: bytes, png: bytes, codes: tuple[int, ...]) -> int:
    """Returns how far the values of a HEIC are off those of a PNG that states codes."""
    stated = png[:33] + (chunk(b"cICP", bytes(codes)) if codes else b"") + png[33:]
    ours, theirs = (np.asarray(decode(each, max_pixels=10**6), int) for each in (content, stated))
    assert ours.shape == theirs.shape
    return int(abs(ours - theirs).max())


@pytest.mark.parametrize("name", PROPERTIES)
def test_a_heic_is_read_as_libheif_reads_it(
    name: str, tiles: list[tuple[bytes, bytes]], libheif: Callable[[bytes], bytes]
) -> None:
    properties, codes = PROPERTIES[name]
    content = heic(tiles[:1], SIZE, *properties)
    assert difference(content, libheif(content), codes) <= TOLERANCE
    plain = decode(heic(tiles[:1], SIZE), max_pixels=10**6)
    assert (decode(content, max_pixels=10**6) == plain) == (name == "nothing")


@pytest.mark.parametrize("name", OF_GRID)
def test_a_heic_of_tiles_is_read_as_libheif_reads_it(
    name: str, tiles: list[tuple[bytes, bytes]], libheif: Callable[[bytes], bytes]
) -> None:
    properties, codes = OF_GRID[name]
    content = heic(tiles, SIZE, *properties, columns=2)
    assert difference(content, libheif(content), codes) <= TOLERANCE
