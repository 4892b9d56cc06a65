"""Which frames of an animation are looked at, and at what cost at most."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from moderation.errors import ImageError
from moderation.images.formats import FORMATS, READS_HEIF
from moderation.images.frames import ANIMATED, MOST_FRAMES, MOST_STILLS
from moderation.images.pixels import Preprocessing, preprocess, read_squares
from tests.support.hostile_files import chunk, saved

HOW = Preprocessing(32, (32, 32), "bilinear", 1 / 255, (0.5,) * 3, (0.5,) * 3)
LOSSLESS: dict[str, dict[str, Any]] = {
    "WEBP": {"lossless": True, "minimize_size": False, "allow_mixed": False},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}


def flat(n: int, size: tuple[int, int] = (48, 32)) -> list[Image.Image]:
    """Returns n frames; frame i has the grey i."""
    return [Image.new("RGB", size, (i % 256,) * 3) for i in range(n)]


def animation(frames: Sequence[Image.Image], form: str, **options: Any) -> bytes:
    """Returns the file of an animation."""
    options = {"duration": 40} | LOSSLESS.get(form, {}) | options
    return saved(frames[0], form, save_all=True, append_images=frames[1:], **options)


def greys(content: bytes, frames: int, max_pixels: int = 10_000_000) -> list[int]:
    """Returns the grey in the middle of each frame that is looked at."""
    [squares] = read_squares(content, [HOW], max_pixels=max_pixels, frames=frames)
    assert squares.shape[1:] == (32, 32, 3)
    return [int(square[16, 16, 0]) for square in squares]


@pytest.mark.parametrize("form", ANIMATED)
def test_frames_are_evenly_spaced_from_the_first(form: str) -> None:
    content = animation(flat(20), form)
    assert greys(content, 1) == [0]
    assert greys(content, 4) == pytest.approx([0, 5, 10, 15], abs=1)
    assert greys(content, 3) == pytest.approx([0, 6, 13], abs=1)
    assert greys(content, 20) == pytest.approx(range(20), abs=1)
    assert greys(content, 64) == pytest.approx(range(20), abs=1)


@pytest.mark.parametrize("form", FORMATS)
def test_a_still_image_has_one_frame(form: str, coffee: Image.Image) -> None:
    [squares] = read_squares(saved(coffee, form), [HOW], max_pixels=10_000_000, frames=64)
    assert squares.shape == (1, 32, 32, 3)


def test_each_way_gets_the_same_frames() -> None:
    other = Preprocessing((8, 16), (8, 16), "bicubic", 1.0, (0.0,) * 3, (1.0,) * 3)
    content = animation(flat(9), "GIF")
    first, second = read_squares(content, [HOW, other], max_pixels=10_000_000, frames=3)
    assert first.shape == (3, 32, 32, 3)
    assert second.shape == (3, 8, 16, 3)
    assert first[:, 0, 0, 0].tolist() == second[:, 0, 0, 0].tolist() == [0, 3, 6]


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_a_frame_that_draws_a_part_is_seen_over_the_frame_before(
    form: str, coffee: Image.Image
) -> None:
    photograph = coffee.resize((96, 64)).quantize(64).convert("RGB")
    changed = photograph.copy()
    changed.paste((0, 0, 0), (40, 20, 50, 30))
    content = animation([photograph, changed], form)
    assert len(content) < 1.7 * len(animation([photograph], form)), "the part alone is stored"
    [squares] = read_squares(content, [HOW], max_pixels=10_000_000, frames=2)
    for square, whole in zip(squares, (photograph, changed), strict=True):
        assert abs(square.astype(np.int16) - preprocess(whole, HOW)).max() < 3


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_transparent_parts_are_white_in_every_frame(form: str) -> None:
    frames = [Image.new("RGBA", (48, 32), (255, 0, 0, 0)) for _ in range(3)]
    for i, frame in enumerate(frames):
        frame.paste((0, 0, 10 * i, 255), (0, 0, 48, 4))
    content = animation(frames, form, disposal=2) if form != "WEBP" else animation(frames, form)
    assert greys(content, 3) == [255, 255, 255]


@pytest.mark.parametrize("form", ["GIF", "PNG"])
def test_damage_after_the_first_frame_ends_the_animation_there(
    form: str, coffee: Image.Image
) -> None:
    turned = [coffee.resize((96, 64)).rotate(9 * i) for i in range(20)]
    whole = animation(turned, form)
    cut = whole[: len(whole) // 2]
    [squares] = read_squares(cut, [HOW], max_pixels=10_000_000, frames=4)
    assert len(squares) == 4
    [every] = read_squares(whole, [HOW], max_pixels=10_000_000, frames=20)
    shown = [
        int(abs(every.astype(np.int16) - square).mean((1, 2, 3)).argmin()) for square in squares
    ]
    assert shown[0] == 0
    assert 6 <= max(shown) < 11
    steps = np.diff(shown)
    assert steps.min() >= 1
    assert steps.max() - steps.min() <= 1
    with pytest.raises(ImageError):
        read_squares(whole[: len(whole) // 60], [HOW], max_pixels=10_000_000, frames=4)


def test_an_animation_that_overstates_its_frames_is_looked_at_evenly() -> None:
    content = animation(flat(12), "PNG")
    at = content.index(b"acTL") - 4
    content = content[:at] + chunk(b"acTL", struct.pack(">II", 400, 0)) + content[at + 20 :]
    assert greys(content, 4) == [0, 3, 6, 9]


def endless_gif(size: tuple[int, int], n: int) -> bytes:
    """Returns a GIF of n frames, which draw a pixel each: of grey i * 256 // n in frame i."""
    head = b"GIF89a" + struct.pack("<HHBBB", *size, 0xF7, 0, 0)
    palette = bytes(itertools.chain.from_iterable((i, i, i) for i in range(256)))
    first = animation([Image.new("L", size)], "GIF")
    start = first.index(b",")
    frames = [first[start:-1]]
    for i in range(1, n):
        # One pixel in codes of 9 bits: clear, its colour, end.
        bits = 256 | (i * 256 // n) << 9 | 257 << 18
        place = struct.pack("<HHHHB", size[0] // 2, size[1] // 2, 1, 1, 0)
        frames.append(b"," + place + b"\x08\x04" + bits.to_bytes(4, "little") + b"\0")
    return head + palette + b"".join(frames) + b";"


def test_no_more_than_so_many_frames_are_decoded() -> None:
    parts = endless_gif((32, 32), 1000).split(place := b"," + struct.pack("<HHHH", 16, 16, 1, 1))
    grown = b"," + struct.pack("<HHHH", 16, 16, 9_000, 9_000)  # refused by whoever comes so far
    content = place.join(parts[:MOST_FRAMES]) + grown + place.join(parts[MOST_FRAMES:])
    [squares] = read_squares(content, [HOW], max_pixels=10_000_000, frames=4)
    seen = [int(square.reshape(-1, 3).max()) for square in squares]
    assert seen == [i * MOST_FRAMES // 4 * 256 // 1000 for i in range(4)]
    few = endless_gif((32, 32), MOST_FRAMES)
    [squares] = read_squares(few, [HOW], max_pixels=10_000_000, frames=2)
    assert squares[1].max() == 128


def test_frames_together_are_bounded_by_the_pixels_of_stills() -> None:
    content = animation(flat(20), "GIF")
    pixels = 48 * 32
    assert greys(content, 64, max_pixels=20 * pixels) == list(range(20))
    assert greys(content, 64, max_pixels=2 * pixels) == list(range(2 * MOST_STILLS))
    assert greys(content, 2, max_pixels=2 * pixels) == [0, MOST_STILLS]
    with pytest.raises(ImageError, match="over the limit"):
        greys(content, 64, max_pixels=pixels - 1)


def test_a_gif_that_grows_over_the_limit_is_refused() -> None:
    content = bytearray(endless_gif((32, 32), 3))
    at = content.rindex(b"," + struct.pack("<HHHH", 16, 16, 1, 1))
    content[at + 5 : at + 9] = struct.pack("<HH", 9_000, 9_000)
    assert greys(bytes(content), 1) == [0]
    with pytest.raises(ImageError, match="9016 x 9016 pixels are over the limit of 10000000"):
        greys(bytes(content), 3)


def test_other_pictures_in_a_file_are_not_frames(coffee: Image.Image) -> None:
    red = Image.new("RGB", coffee.size, "red")
    forms = ["MPO", "HEIF"] if READS_HEIF else ["MPO"]
    for form in forms:
        content = animation([coffee, red], form, quality=90)
        [squares] = read_squares(content, [HOW], max_pixels=10_000_000, frames=8)
        assert len(squares) == 1
        assert abs(squares[0].astype(np.int16) - preprocess(coffee, HOW)).mean() < 5
