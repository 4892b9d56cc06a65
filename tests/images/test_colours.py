"""Every mode of an image, and colour profiles, compared with plain arithmetic."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms

from benchmarks.colour_profiles import SPACES, grey_profile, rgb_profile
from moderation.errors import ImageError
from moderation.images.boxes import shown_properties
from moderation.images.colour_memory import ColourMemory
from moderation.images.colour_table import Bytes, ColourTable
from moderation.images.colours import to_rgb
from moderation.images.conversion import converted, in_srgb
from moderation.images.icc import read_profile
from moderation.images.pixels import Preprocessing, decode, preprocess, read_sights
from moderation.images.profile_length import LONGEST_PROFILE
from tests.support.hostile_files import chunk, png, saved, with_a_program
from tests.support.seen_files import curve_profiles

#: XYZ of sRGB's red, green and blue, adapted to D50, as its ICC profile has them.
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))


def shown(content: bytes) -> npt.NDArray[np.int16]:
    """Returns the (h, w, 3) values that a viewer shows of a file."""
    return np.asarray(decode(content, max_pixels=10_000_000), np.int16)


def srgb_curve(linear: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns sRGB values of 0 to 255 for light of 0 to 1 (IEC 61966-2-1)."""
    light = linear.clip(0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def from_space(pixels: npt.NDArray[Any], name: str) -> npt.NDArray[np.float64]:
    """Returns sRGB values of pixels in one of `SPACES`, by its published numbers."""
    *primaries, exponent = SPACES[name]
    light = (pixels / 255) ** exponent
    return srgb_curve(light @ np.array(primaries) @ np.linalg.inv(SRGB))


@pytest.mark.slow
@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("form", ["PNG", "WEBP", "AVIF", "JPEG", "HEIF"])
def test_colours_of_another_space_become_those_of_srgb(
    form: str, name: str, coffee: Image.Image
) -> None:
    if form == "HEIF":
        pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    options: dict[str, Any] = {"lossless": True} if form == "WEBP" else {"quality": 95}
    plain = shown(saved(coffee, form, **options))
    found = shown(saved(coffee, form, icc_profile=rgb_profile(name), **options))
    expected = from_space(plain, name)
    assert abs(found - expected).mean() < 0.6
    assert abs(found - expected).max() < 4
    assert abs(plain - expected).mean() > 2, "the profile changes too little to see whether it was"


def test_the_srgb_profile_changes_no_pixel(coffee: Image.Image) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(shown(saved(coffee, icc_profile=srgb)), np.asarray(coffee))


def test_a_profile_that_only_calls_itself_srgb_is_converted(coffee: Image.Image) -> None:
    disguised = rgb_profile("Display P3").replace(b"Display P3", b"sRGB v2.1 ")
    found = shown(saved(coffee, icc_profile=disguised))
    assert abs(found - from_space(np.asarray(coffee), "Display P3")).max() < 4


def _random_damage(profile: bytes) -> bytes:
    damaged = bytearray(profile)
    for at in np.random.default_rng(3).integers(128, len(profile), 60):
        damaged[at] ^= 0x5A
    return bytes(damaged)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda profile: b"no profile at all",
        lambda profile: profile[:200],
        lambda profile: profile[:36] + b"fake" + profile[40:],
        lambda profile: profile.replace(b"rXYZ", b"rXXX"),
        lambda profile: grey_profile(1.0),
        lambda profile: profile.replace(b"RGB XYZ ", b"CMYKLab "),
        _random_damage,
    ],
    ids=["text", "cut", "magic", "no red", "grey", "ink", "damaged"],
)
def test_a_profile_that_cannot_be_used_is_ignored(
    spoil: Callable[[bytes], bytes], coffee: Image.Image
) -> None:
    content = saved(coffee, icc_profile=spoil(rgb_profile("Adobe RGB")))
    assert b"iCCP" in content
    assert np.array_equal(shown(content), np.asarray(coffee))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_profile_that_is_too_long_is_refused_since_browsers_use_it(
    form: str, coffee: Image.Image
) -> None:
    profile = rgb_profile("Adobe RGB")
    with pytest.raises(ImageError, match="ICC profile is over the limit of 4000000 bytes"):
        shown(saved(coffee, form, icc_profile=profile.ljust(LONGEST_PROFILE + 1, b"\0")))
    just = shown(saved(coffee, form, icc_profile=profile.ljust(LONGEST_PROFILE, b"\0")))
    assert not np.array_equal(just, shown(saved(coffee, form)))


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_is_refused_wherever_it_is_stated(transfer: int, coffee: Image.Image) -> None:
    plain = saved(coffee)
    codes = plain[:33] + chunk(b"cICP", bytes([9, transfer, 0, 1])) + plain[33:]
    avif = saved(coffee, "AVIF")
    at = avif.index(b"nclx") + 4
    for content in (codes, avif[:at] + struct.pack(">HH", 9, transfer) + avif[at + 4 :]):
        with pytest.raises(ImageError, match="the image is HDR"):
            shown(content)


def test_the_crop_of_an_avif_is_found_among_its_properties(coffee: Image.Image) -> None:
    plain = saved(coffee, "AVIF")
    assert b"clap" not in {box.kind for box in shown_properties(plain)}
    assert b"clap" in {box.kind for box in shown_properties(plain.replace(b"pixi", b"clap"))}


def test_a_jpeg_is_not_reduced_before_a_profile_that_is_not_smooth(coffee: Image.Image) -> None:
    how = Preprocessing(24, (24, 24), "bicubic", 1 / 255, (0.5,) * 3, (0.5,) * 3)
    saw = dict(curve_profiles())["curve-saw"]
    content = saved(coffee, "JPEG", quality=95, icc_profile=saw)
    [sight] = read_sights(content, [how], max_pixels=10**6)
    assert np.array_equal(sight.squares[0], preprocess(decode(content, max_pixels=10**6), how))


_BROKEN = "curve-backwards"  # is read as no profile


@pytest.mark.parametrize("name", [*SPACES, *sorted(dict(curve_profiles()).keys() - {_BROKEN})])
def test_every_pixel_is_converted_as_its_colour_is_by_itself(name: str) -> None:
    content = rgb_profile(name) if name in SPACES else dict(curve_profiles())[name]
    profile = read_profile(content)
    assert profile is not None
    numbers = np.random.default_rng(7)
    for size in ((300, 500, 3), (1, 70_000, 3)):  # several bands, and one that is wider than a band
        colours = numbers.integers(0, 256, size, dtype=np.uint8)
        colours[: len(colours) // 2 + 1, :400] //= 64  # few colours, that come again and again
        expected = converted(colours.reshape(-1, 3), profile).reshape(size)
        for _ in range(2):
            found = np.asarray(in_srgb(Image.fromarray(colours), profile))
            assert np.array_equal(found, expected)


def test_a_colour_is_converted_once() -> None:
    asked: list[int] = []

    def doubled(values: Bytes) -> Bytes:
        asked.append(len(values))
        return values * np.uint8(2)

    memory = ColourMemory(doubled)
    for red, unknown in ((5, [64]), (5, []), (6, [64]), (0, [64])):
        shown = memory.converted(Image.new("RGB", (8, 8), (red, 0, 0)))
        assert shown.getcolors() == [(64, (2 * red, 0, 0))]
        assert asked == unknown
        asked.clear()


@pytest.mark.parametrize("steps", [(3, 4, 5), (2, 3, 2, 4)])
def test_a_table_is_linear_in_each_channel_between_its_points(steps: tuple[int, ...]) -> None:
    numbers = np.random.default_rng(3)
    slopes = numbers.normal(size=(len(steps), 3))

    def product(places: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Returns values that change in proportion to each channel, and so are met exactly."""
        factors = [1 + p[..., np.newaxis] * s for p, s in zip(places, slopes, strict=True)]
        return np.asarray(np.prod(factors, axis=0))

    axes = np.meshgrid(*(np.linspace(0, 1, count) for count in steps), indexing="ij")
    levels = numbers.random((len(steps), 256)).astype(np.float32)
    values = numbers.integers(0, 256, (500, len(steps)), dtype=np.uint8)
    found = ColourTable.of(levels, product(axes).astype(np.float32)).interpolated(values)
    expected = product([levels[at, values[:, at]] for at in range(len(steps))])
    assert np.allclose(found.T, expected, atol=1e-4)


def test_a_short_profile_is_read_once() -> None:
    assert read_profile(rgb_profile("Adobe RGB")) is read_profile(rgb_profile("Adobe RGB"))


def test_a_profile_with_a_program_is_taken_by_its_other_tags(coffee: Image.Image) -> None:
    with_program = shown(saved(coffee, icc_profile=with_a_program(rgb_profile("Adobe RGB"), 10)))
    assert np.array_equal(with_program, shown(saved(coffee, icc_profile=rgb_profile("Adobe RGB"))))


def test_of_several_profiles_of_a_png_the_first_before_the_pixels_is_taken(
    coffee: Image.Image,
) -> None:
    first, other = (rgb_profile(name) for name in ("Adobe RGB", "Display P3"))
    plain, wide = (saved(coffee, icc_profile=profile) for profile in (None, first))
    packed = chunk(b"iCCP", b"a\0\0" + zlib.compress(other))
    pixels, end = wide.index(b"IDAT") - 4, wide.index(b"IEND") - 4
    for at in (pixels, end):
        assert np.array_equal(shown(wide[:at] + packed + wide[at:]), shown(wide))
    end = plain.index(b"IEND") - 4
    assert np.array_equal(shown(plain[:end] + packed + plain[end:]), shown(plain))


def test_the_greys_of_a_profile_become_those_of_srgb() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    expected = srgb_curve((ramp / 255.0) ** 1.5)[..., np.newaxis]
    found = shown(saved(Image.fromarray(ramp), icc_profile=grey_profile(1.5)))
    assert abs(found - expected).max() < 2
    opaque = np.full_like(ramp, 255)
    opaque[0] = 0
    half = Image.merge("LA", [Image.fromarray(ramp), Image.fromarray(opaque)])
    found = shown(saved(half, icc_profile=grey_profile(1.5)))
    assert abs(found - expected)[1:].max() < 2
    assert (found[0] == 255).all()


def test_colours_are_converted_before_resizing(coffee: Image.Image) -> None:
    how = Preprocessing(100, (100, 100), "bicubic", 1 / 255, (0.5,) * 3, (0.5,) * 3)
    content = saved(coffee, icc_profile=rgb_profile("Display P3"))
    [sight] = read_sights(content, [how], max_pixels=10**6)
    assert np.array_equal(sight.squares[0], preprocess(decode(content, max_pixels=10**6), how))


def test_cmyk_is_not_shown_inverted(coffee: Image.Image) -> None:
    content = saved(coffee.convert("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in content, "such files store inks inverted"
    assert abs(shown(content) - np.asarray(coffee, np.int16)).mean() < 4
    ignored = saved(
        coffee.convert("CMYK"), "JPEG", quality=95, icc_profile=rgb_profile("Adobe RGB")
    )
    assert np.array_equal(shown(ignored), shown(content))


def test_transparent_parts_show_white_and_not_what_is_hidden_there() -> None:
    white = [255, 255, 255]
    hidden = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    for form in ("PNG", "WEBP", "AVIF"):
        assert shown(saved(hidden, form))[0, 0].tolist() == white
    key = Image.new("RGB", (4, 4), (10, 20, 30))
    assert shown(saved(key, transparency=(10, 20, 30)))[0, 0].tolist() == white
    assert shown(saved(key, transparency=(11, 20, 30)))[0, 0].tolist() == [10, 20, 30]
    grey = Image.new("L", (4, 4), 77)
    assert shown(saved(grey, transparency=77))[0, 0].tolist() == white
    bit = Image.new("1", (4, 4), 0)
    assert shown(saved(bit, transparency=0))[0, 0].tolist() == white


@pytest.mark.parametrize("form", ["PNG", "GIF"])
def test_a_palette_can_have_a_transparent_colour(form: str) -> None:
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    palette.putpalette([255, 0, 0, 0, 0, 255])
    assert shown(saved(palette, form, transparency=0)).tolist() == [[[255] * 3, [0, 0, 255]]]


def test_a_palette_can_have_an_opacity_for_each_colour() -> None:
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "L").convert("P")
    palette.putpalette([255, 0, 0, 0, 0, 255, 0, 0, 0])
    [[red, blue, black]] = shown(saved(palette, transparency=bytes([0, 255, 128]))).tolist()
    assert (red, blue) == ([255] * 3, [0, 0, 255])
    assert black == pytest.approx([127] * 3, abs=1)


def test_half_transparent_colours_are_blended_with_white() -> None:
    half = shown(saved(Image.new("RGBA", (2, 2), (200, 0, 100, 51))))
    assert half[0, 0].tolist() == pytest.approx([244, 204, 224], abs=1)


def _png(samples: npt.NDArray[np.uint16], clear: tuple[int, ...] = ()) -> bytes:
    """Returns a 16-bit PNG of (h, w) or (h, w, 3) samples; Pillow itself writes only greys."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    key = [chunk(b"tRNS", struct.pack(f">{len(clear)}H", *clear))] if clear else []
    colour = 2 if samples.ndim == 3 else 0
    return png(width, height, *key, depth=16, colour=colour, pixels=zlib.compress(rows))


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_keep_their_upper_eight(channels: int) -> None:
    ramp = np.linspace(0, 65535, 256 * channels).astype(np.uint16)
    samples = ramp.reshape((16, 16, 3) if channels == 3 else (16, 16))
    expected = (samples >> 8).reshape(16, 16, channels)
    assert (shown(_png(samples)) == expected).all()


def test_greys_of_sixteen_bits_can_have_a_transparent_one() -> None:
    grey = np.array([[0x1234, 0x5678]], np.uint16)
    assert shown(_png(grey, (0x1234,)))[0, :, 0].tolist() == [255, 0x56]


def test_one_bit_is_black_or_white() -> None:
    bits = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1")
    assert shown(saved(bits))[..., 0].tolist() == [[0, 255], [255, 0]]


def test_modes_that_no_file_has_are_clipped_and_not_wrapped() -> None:
    whole = Image.fromarray(np.array([[-5, 0x1234, 70_000]], np.int32), "I")
    assert np.asarray(to_rgb(whole).image)[0, :, 1].tolist() == [0, 0x12, 255]
    real = Image.fromarray(np.array([[-5.0, 77.0, 300.0]], np.float32), "F")
    assert np.asarray(to_rgb(real).image)[0, :, 1].tolist() == [0, 77, 255]
    for mode in ("YCbCr", "LAB", "HSV", "RGBX", "RGBa", "PA"):
        assert to_rgb(Image.new(mode, (2, 2))).image.mode == "RGB"
