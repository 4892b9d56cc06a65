"""How a picture is turned: as Chromium 156 was measured to turn it, file by file."""

from __future__ import annotations

import base64
import shutil
import struct

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import sync_playwright

from moderation.images.orientation import orientation
from moderation.images.pixels import decode
from tests.support.hostile_files import chunk, saved, segment

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

SHORT, LONG = 3, 4
#: The corners of the picture, from the upper left: red, green, blue, white.
CORNERS = {
    "rgbw": 1,
    "grwb": 2,
    "wbgr": 3,
    "bwrg": 4,
    "rbgw": 5,
    "brwg": 6,
    "wgbr": 7,
    "gwrb": 8,
}
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'

_CORNERS_SHOWN = """async address => {
    const image = new Image();
    image.src = address;
    await image.decode();
    const canvas = document.createElement('canvas');
    const [w, h] = [canvas.width = image.naturalWidth, canvas.height = image.naturalHeight];
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    return [[w / 4, h / 4], [w * 3 / 4, h / 4], [w / 4, h * 3 / 4], [w * 3 / 4, h * 3 / 4]].map(
        ([x, y]) => [...context.getImageData(x, y, 1, 1).data.slice(0, 3)]);
}"""


def picture() -> Image.Image:
    image = Image.new("RGB", (64, 32))
    for at, colour in zip(
        ((0, 0), (32, 0), (0, 16), (32, 16)), ("#f00", "#0f0", "#00f", "#fff"), strict=True
    ):
        image.paste(colour, (*at, at[0] + 32, at[1] + 16))
    return image


def entry(value: int, kind: int = SHORT, *, tag: int = 0x112, count: int = 1) -> bytes:
    return struct.pack("<HHI", tag, kind, count) + struct.pack("<I", value)


def directory(*entries: bytes, count: int | None = None) -> bytes:
    return struct.pack("<H", len(entries) if count is None else count) + b"".join(entries)


def tiff(*entries: bytes, count: int | None = None) -> bytes:
    return b"II*\0\x08\0\0\0" + directory(*entries, count=count) + bytes(4)


def with_inner(inner: bytes, *outer: bytes, last: bool = True) -> bytes:
    """Returns EXIF data whose first directory names another, which holds `inner`."""
    pointer = entry(14 + 12 * (len(outer) + 1), LONG, tag=0x8769)
    return tiff(*((*outer, pointer) if last else (pointer, *outer))) + directory(inner) + bytes(4)


def jpeg(*blocks: bytes, head: bytes = b"Exif\0\0") -> bytes:
    plain = saved(picture(), "JPEG", quality=95, subsampling=0)
    return plain[:2] + b"".join(segment(0xE1, head + each) for each in blocks) + plain[2:]


def png(before: bytes = b"", after: bytes = b"") -> bytes:
    plain = saved(picture(), "PNG")
    pixels, end = plain.index(b"IDAT") - 4, plain.index(b"IEND") - 4
    return plain[:pixels] + before + plain[pixels:end] + after + plain[end:]


def between_scans(block: bytes) -> bytes:
    plain = saved(picture(), "JPEG", quality=95, progressive=True)
    last = plain.rindex(b"\xff\xda")
    return plain[:last] + segment(0xE1, b"Exif\0\0" + block) + plain[last:]


def webp(block: bytes) -> bytes:
    return saved(picture(), "WEBP", lossless=True, exif=block)


def avif(turn: int) -> bytes:
    """Returns an AVIF that its boxes turn; Pillow writes them instead of EXIF data."""
    return saved(picture(), "AVIF", quality=95, exif=tiff(entry(turn)))


def avif_with_exif(turn: int) -> bytes:
    """Returns an AVIF whose EXIF data state a turn and whose boxes do not."""
    other = tiff(entry(5, SHORT, tag=0x100))
    content = saved(picture(), "AVIF", quality=95, exif=other)
    assert other in content
    return content.replace(other, tiff(entry(turn)))


SIX, THREE = tiff(entry(6)), tiff(entry(3))
BIG = b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 0x112, SHORT, 1, 6, 0, 0)
SPLIT = (SIX[:12], SIX[12:])

MEASURED: dict[str, tuple[bytes, int]] = {
    **{f"jpeg-{turn}": (jpeg(tiff(entry(turn))), turn) for turn in range(1, 9)},
    "jpeg-0": (jpeg(tiff(entry(0))), 1),
    "jpeg-9": (jpeg(tiff(entry(9))), 1),
    "jpeg-big-endian": (jpeg(BIG), 6),
    "jpeg-first-of-two": (jpeg(SIX, THREE), 6),
    "jpeg-first-states-none": (jpeg(tiff(entry(5, tag=0x100)), SIX), 1),
    "jpeg-first-is-broken": (jpeg(b"XX*\0garbage", SIX), 1),
    "jpeg-first-is-empty": (jpeg(b"", SIX), 6),
    "jpeg-first-of-one-byte": (jpeg(b"I", SIX), 1),
    "jpeg-split": (jpeg(*SPLIT), 1),
    "jpeg-head-of-any-sixth-byte": (jpeg(SIX, head=b"Exif\0\xff"), 6),
    "jpeg-head-cut": (jpeg(SIX, head=b"Exif\0"), 1),
    "jpeg-head-in-capitals": (jpeg(SIX, head=b"EXIF\0\0"), 1),
    "jpeg-between-scans": (between_scans(SIX), 1),
    "jpeg-xmp": (jpeg(XMP, head=b"http://ns.adobe.com/xap/1.0/\0"), 1),
    "jpeg-long": (jpeg(tiff(entry(6, LONG))), 1),
    "jpeg-byte": (jpeg(tiff(entry(6, 1))), 1),
    "jpeg-signed": (jpeg(tiff(entry(6, 8))), 1),
    "jpeg-count-0": (jpeg(tiff(entry(6, count=0))), 1),
    "jpeg-count-2": (jpeg(tiff(entry(0x60006, count=2))), 1),
    "jpeg-upper-half": (jpeg(tiff(entry(0x70006))), 6),
    "jpeg-twice": (jpeg(tiff(entry(6), entry(3))), 6),
    "jpeg-twice-first-long": (jpeg(tiff(entry(6, LONG), entry(3))), 3),
    "jpeg-twice-first-9": (jpeg(tiff(entry(9), entry(3))), 3),
    "jpeg-no-entries": (jpeg(tiff(entry(6), count=0)), 1),
    "jpeg-500-entries-stated": (jpeg(tiff(entry(6), count=500)), 6),
    "jpeg-cut-after-entry": (jpeg(SIX[:-4]), 6),
    "jpeg-of-bigtiff": (jpeg(b"II+" + SIX[3:]), 1),
    "jpeg-of-no-directory": (jpeg(b"II*\0" + bytes(4) + SIX[8:]), 1),
    "jpeg-inner": (jpeg(with_inner(entry(6))), 6),
    "jpeg-inner-after": (jpeg(with_inner(entry(6), entry(3))), 3),
    "jpeg-inner-after-upright": (jpeg(with_inner(entry(6), entry(1))), 1),
    "jpeg-inner-after-wrong": (jpeg(with_inner(entry(6), entry(9))), 6),
    "jpeg-inner-before": (jpeg(with_inner(entry(6), entry(3), last=False)), 6),
    "jpeg-inner-is-itself": (jpeg(tiff(entry(8, LONG, tag=0x8769), entry(6))), 6),
    "png-before": (png(chunk(b"eXIf", SIX)), 6),
    "png-after": (png(after=chunk(b"eXIf", SIX)), 1),
    "png-first-of-two": (png(chunk(b"eXIf", SIX) + chunk(b"eXIf", THREE)), 6),
    "png-empty-first": (png(chunk(b"eXIf") + chunk(b"eXIf", SIX)), 1),
    "png-before-and-after": (png(chunk(b"eXIf", SIX), chunk(b"eXIf", THREE)), 6),
    "png-head": (png(chunk(b"eXIf", b"Exif\0\0" + SIX)), 1),
    "png-xmp": (png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)), 1),
    "webp": (webp(SIX), 1),
    **{f"avif-{turn}": (avif(turn), turn) for turn in range(2, 9)},
    "avif-exif-without-boxes": (avif_with_exif(6), 1),
}
#: Pillow refuses a PNG with this; only the reader is asked.
DAMAGED_FIRST = png(chunk(b"eXIf", SIX)[:-4] + bytes(4) + chunk(b"eXIf", THREE))


def corners(pixels: list[list[int]]) -> int:
    names = {(1, 0, 0): "r", (0, 1, 0): "g", (0, 0, 1): "b", (1, 1, 1): "w"}
    return CORNERS["".join(names[tuple(int(v > 128) for v in each)] for each in pixels)]  # type: ignore[index]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow reads it for a JPEG's resolution
@pytest.mark.parametrize("name", MEASURED)
def test_a_picture_is_decoded_as_it_is_turned_in_chromium(name: str) -> None:
    content, turn = MEASURED[name]
    shown = np.asarray(decode(content, max_pixels=10_000))
    height, width = shown.shape[:2]
    found = [
        shown[y, x].tolist()
        for y in (height // 4, height * 3 // 4)
        for x in (width // 4, width * 3 // 4)
    ]
    assert corners(found) == turn


def test_a_block_whose_checksum_is_wrong_is_passed_over() -> None:
    assert orientation(DAMAGED_FIRST) == 3


def test_a_directory_of_65535_entries_is_read_once() -> None:
    entries = [entry(5, LONG, tag=0x8769)] * 65_534
    assert orientation(png(chunk(b"eXIf", tiff(*entries, entry(6))))) == 6


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH")
def test_the_values_are_those_that_chromium_shows() -> None:
    shown: dict[str, int] = {}
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--force-color-profile=srgb"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = browser.new_page()
        for name, (content, _) in MEASURED.items():
            encoded = base64.b64encode(content).decode()
            address = f"data:image/{name.partition('-')[0]};base64,{encoded}"
            shown[name] = corners(page.evaluate(_CORNERS_SHOWN, address))
        browser.close()
    assert shown == {name: turn for name, (_, turn) in MEASURED.items()}
