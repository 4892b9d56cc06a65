"""Files that cannot be read as a browser draws them are refused; plain ones like them are not."""

from __future__ import annotations

import struct

import pytest
from PIL import Image

from moderation.errors import ImageError
from moderation.images.pixels import decode
from tests.support.hostile_files import bmp, saved
from tests.support.seen_avif import with_codes_in_data, without_stated_codes
from tests.support.seen_pixels import misread_files
from tests.support.seen_profiles import profile_with_codes

NAMES = list(misread_files(Image.new("RGB", (30, 20))))


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_a_browser_draws_otherwise_is_refused(name: str, coffee: Image.Image) -> None:
    content = misread_files(coffee.resize((96, 64)))[name]
    with pytest.raises(ImageError, match=r"more bits than are read|is damaged|short palette"):
        decode(content, max_pixels=10**6)


@pytest.mark.parametrize(
    "codes", [(12, 1, 0, 1), (2, 13, 0, 1), (12, 2, 0, 1), (1, 9, 0, 1), (99, 8, 0, 1)]
)
def test_a_profile_with_codes_that_are_read_in_several_ways_is_refused(
    codes: tuple[int, ...], coffee: Image.Image
) -> None:
    content = saved(coffee, icc_profile=profile_with_codes(*codes))
    with pytest.raises(ImageError, match="states its colours twice"):
        decode(content, max_pixels=10**6)


@pytest.mark.parametrize("transfer", [16, 18])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_profile_of_hdr_is_refused(form: str, transfer: int, coffee: Image.Image) -> None:
    content = saved(coffee, form, icc_profile=profile_with_codes(9, transfer, 0, 1))
    with pytest.raises(ImageError, match="the image is HDR"):
        decode(content, max_pixels=10**6)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA"])
def test_black_rows_are_not_missing_ones(mode: str) -> None:
    content = saved(Image.new(mode, (31, 17)))
    assert decode(content, max_pixels=10**6).size == (31, 17)


def test_a_bmp_of_greys_is_read() -> None:
    for mode in ("1", "L"):
        white = Image.new(mode, (32, 16), 255)
        content = saved(white, "BMP")
        assert decode(content, max_pixels=10**6).getpixel((3, 3)) == (255, 255, 255)
    without_count = content[:46] + struct.pack("<I", 0) + content[50:]
    assert decode(without_count, max_pixels=10**6).getpixel((3, 3)) == (255, 255, 255)


ROW = b"\x10\1\x10\0\0\0"  # 32 pixels of two colours, and the end of the row


@pytest.mark.parametrize(
    "data",
    [
        ROW * 16 + b"\0\1",
        ROW * 15 + ROW[:4] + b"\0\1",
        b"\0\x20" + bytes(32) + b"\0\0" + ROW * 15 + b"\0\1",
        b"\0\3\1\1\1\0\x1d\0\0\0" + ROW * 15,
    ],
)
def test_a_run_length_coded_bmp_with_all_its_pixels_is_read(data: bytes) -> None:
    content = bmp(data, 32, 16, compression=1)
    assert decode(content, max_pixels=10**6).size == (32, 16)


@pytest.mark.parametrize(
    "data",
    [
        ROW * 15 + b"\0\1",
        ROW * 8 + b"\0\0" + ROW * 7 + b"\0\1",
        ROW * 8 + b"\x10\1\0\0" + ROW * 7 + b"\0\1",
        ROW * 8 + b"\0\2\0\1" + ROW * 7 + b"\0\1",
        b"\x21\0\0\0" + ROW * 15 + b"\0\1",
        b"\0\1",
    ],
)
def test_a_run_length_coded_bmp_that_leaves_out_pixels_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError, match="leaves out pixels"):
        decode(bmp(data, 32, 16, compression=1), max_pixels=10**6)


@pytest.mark.parametrize(("bits", "compression"), [(32, 0), (16, 0), (16, 3)])
def test_a_bmp_with_opacity_that_is_passed_over_is_refused(bits: int, compression: int) -> None:
    masks = struct.pack("<4I", 0x7C00, 0x3E0, 0x1F, 0x8000)
    content = bmp(bytes(2048), 16, 16, bits=bits, compression=compression, header=108, offset=122)
    content = content[:54] + masks + content[70:]
    with pytest.raises(ImageError, match="opacity where few programs look for it"):
        decode(content, max_pixels=10**6)


@pytest.mark.parametrize("start", [0, 14, 54, 54 + 4 * 31])
def test_a_bmp_whose_pixels_begin_before_its_colours_end_is_refused(
    start: int, coffee: Image.Image
) -> None:
    plain = saved(coffee.resize((16, 16)).quantize(32), "BMP")
    assert decode(plain, max_pixels=10**6).size == (16, 16)
    moved = plain[:10] + struct.pack("<I", start) + plain[14:]
    with pytest.raises(ImageError, match="begin before its colours end"):
        decode(moved, max_pixels=10**6)


@pytest.mark.parametrize("bits", [0, 9, 12, 255])
def test_a_gif_with_codes_of_a_size_that_browsers_pass_over_is_refused(bits: int) -> None:
    plain = saved(Image.new("P", (16, 16), 3), "GIF")
    at = plain.index(b"\x2c\0\0\0\0") + 10
    assert decode(plain, max_pixels=10**6).size == (16, 16)
    with pytest.raises(ImageError, match="is damaged"):
        decode(plain[:at] + bytes((bits,)) + plain[at + 1 :], max_pixels=10**6)


def test_an_avif_whose_colours_are_multiplied_already_is_refused(coffee: Image.Image) -> None:
    faded = coffee.copy()
    faded.putalpha(coffee.convert("L"))
    assert decode(saved(faded, "AVIF"), max_pixels=10**6).size == coffee.size
    with pytest.raises(ImageError, match="multiplied by its opacity"):
        decode(saved(faded, "AVIF", alpha_premultiplied=True), max_pixels=10**6)


def test_an_animated_avif_with_a_track_of_another_kind_is_refused(coffee: Image.Image) -> None:
    first = coffee.resize((64, 48)).convert("RGBA")
    others = [first.rotate(180)]
    plain = saved(first, "AVIF", save_all=True, append_images=others, duration=100)
    assert plain.count(b"hdlr") >= 2
    assert decode(plain, max_pixels=10**6).size == (64, 48)
    at = plain.rindex(b"hdlr") + 12
    assert plain[at : at + 4] in (b"pict", b"auxv")
    for handler in (b"xxxx", b"soun"):
        with pytest.raises(ImageError, match="neither of colours nor of opacity"):
            decode(plain[:at] + handler + plain[at + 4 :], max_pixels=10**6)


def test_hdr_is_refused_where_only_the_data_of_an_avif_state_it(coffee: Image.Image) -> None:
    plain = saved(coffee.resize((96, 64)), "AVIF", quality=90, subsampling="4:4:4")
    hdr = with_codes_in_data(plain, 9, 16)
    assert decode(hdr, max_pixels=10**6).size == (96, 64), "what the boxes state counts"
    with pytest.raises(ImageError, match="the image is HDR"):
        decode(without_stated_codes(hdr), max_pixels=10**6)
