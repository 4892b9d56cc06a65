"""Files that cannot be read as a browser draws them are refused; plain ones like them are not."""

from __future__ import annotations

import struct

import pytest
from PIL import Image

from moderation.errors import ImageError
from moderation.images.pixels import decode
from tests.support.hostile_files import saved
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


def test_an_avif_whose_colours_are_multiplied_already_is_refused(coffee: Image.Image) -> None:
    faded = coffee.copy()
    faded.putalpha(coffee.convert("L"))
    assert decode(saved(faded, "AVIF"), max_pixels=10**6).size == coffee.size
    with pytest.raises(ImageError, match="multiplied by its opacity"):
        decode(saved(faded, "AVIF", alpha_premultiplied=True), max_pixels=10**6)


def test_hdr_is_refused_where_only_the_data_of_an_avif_state_it(coffee: Image.Image) -> None:
    plain = saved(coffee.resize((96, 64)), "AVIF", quality=90, subsampling="4:4:4")
    hdr = with_codes_in_data(plain, 9, 16)
    assert decode(hdr, max_pixels=10**6).size == (96, 64), "what the boxes state counts"
    with pytest.raises(ImageError, match="the image is HDR"):
        decode(without_stated_codes(hdr), max_pixels=10**6)
