"""Which frames of an animation are looked at, and at what cost at most."""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from PIL import Image

from moderation.errors import ImageError
from moderation.images.formats import FORMATS, READS_HEIF, opened
from moderation.images.frames import (
    ANIMATED,
    MOST_FRAMES,
    MOST_STILLS,
    SeenFrames,
    look_at_frames,
)
from moderation.images.looks import Looking
from moderation.images.pixels import Preprocessing, preprocess, read_sights
from tests.support.hostile_files import chunk, gif, png, saved

HOW = Preprocessing(32, (32, 32), "bilinear", 1 / 255, (0.5,) * 3, (0.5,) * 3)
LOSSLESS: dict[str, dict[str, Any]] = {
    "WEBP": {"lossless": True, "minimize_size": False, "allow_mixed": False},
    # Browsers show the values of other ranges stretched.
    "AVIF": {"quality": 100, "subsampling": "4:4:4", "range": "limited"},
}


#: Colours of the palette of `hostile_files.gif`, and two more.
BLACK, WHITE, RED, BLUE = (0, 0, 0, 255), (255, 255, 255, 255), (255, 0, 0, 255), (0, 0, 255, 255)
GREEN = (0, 255, 0, 255)
LETTERS = {BLACK: "K", WHITE: "W", RED: "R", BLUE: "B", GREEN: "G", (0, 0, 0, 0): "."}


def control(hundredths: int = 10, disposal: int = 0, transparent: int | None = None) -> bytes:
    """Returns the control block of a GIF's frame."""
    flags = disposal << 2 | (transparent is not None)
    return b"!\xf9\4" + struct.pack("<BHBB", flags, hundredths, transparent or 0, 0)


def frame(left: int, top: int, width: int, height: int, colour: int) -> bytes:
    """Returns a frame of a GIF in one of four colours, coded without compression."""
    codes = [code for _ in range(width * height) for code in (4, colour)] + [5]
    bits = sum(code << 3 * at for at, code in enumerate(codes))
    data = bits.to_bytes((3 * len(codes) + 7) // 8, "little")
    place = struct.pack("<HHHHB", left, top, width, height, 0)
    return b"," + place + bytes([2, len(data)]) + data + b"\0"


def announced(count: int) -> bytes:
    """Returns the chunk that says of how many frames an animated PNG is."""
    return chunk(b"acTL", struct.pack(">II", count, 0))


def place(number: int, *box: int, disposal: int = 0, blend: int = 0) -> bytes:
    """Returns the chunk before a frame of an animated PNG; by default the frame is all of it."""
    left, top, width, height = box or (0, 0, 4, 4)
    values = (number, width, height, left, top, 10, 100, disposal, blend)
    return chunk(b"fcTL", struct.pack(">IIIIIHHBB", *values))


def plain(colour: tuple[int, ...], width: int = 4, height: int = 4) -> bytes:
    """Returns packed pixels of one colour."""
    return zlib.compress((b"\0" + bytes(colour) * width) * height)


def drawn(number: int, colour: tuple[int, ...], width: int = 4, height: int = 4) -> bytes:
    """Returns the pixels of a later frame of an animated PNG."""
    return chunk(b"fdAT", struct.pack(">I", number) + plain(colour, width, height))


def apng(*before: bytes, after: bytes) -> bytes:
    """Returns an animated PNG whose first pixels are blue."""
    return png(4, 4, *before, colour=6, pixels=plain(BLUE), after=after)


WHOLE = frame(0, 0, 4, 4, 2)
CORNER = frame(0, 0, 2, 2, 3)
LAST = control() + frame(3, 3, 1, 1, 1)
TWO = place(0) + drawn(1, RED) + place(2) + drawn(3, GREEN)

#: Animations, and what `ImageDecoder` of Chromium 156 gives of each frame.
CHROMIUM = {
    "GIF, partial first": (
        gif((4, 4), control() + frame(1, 1, 2, 2, 2) + control() + frame(0, 0, 1, 1, 3)),
        [".....RR..RR.....", "B....RR..RR....."],
    ),
    **{
        f"GIF, disposal {disposal}": (
            gif((4, 4), control() + WHOLE + control(10, disposal) + CORNER + LAST),
            ["R" * 16, "BBRRBBRRRRRRRRRR", last],
        )
        for disposal, last in {
            1: "BBRRBBRRRRRRRRRW",
            2: "..RR..RRRRRRRRRW",
            3: "RRRRRRRRRRRRRRRW",
            4: "RRRRRRRRRRRRRRRW",
            5: "BBRRBBRRRRRRRRRW",
        }.items()
    },
    "GIF, disposal 3 first": (
        gif((4, 4), control(10, 3) + WHOLE + control() + CORNER),
        ["R" * 16, "BB..BB.........."],
    ),
    "GIF, transparent": (gif((4, 4), control(10, 0, 2) + WHOLE), ["." * 16]),
    "GIF, two control blocks": (gif((4, 4), control(10, 0, 2) + control() + WHOLE), ["R" * 16]),
    "APNG": (apng(announced(2), place(0), after=place(1) + drawn(2, GREEN)), ["B" * 16, "G" * 16]),
    "APNG, default image apart": (apng(announced(2), after=TWO), ["R" * 16, "G" * 16]),
    "APNG, one frame apart": (apng(announced(1), after=place(0) + drawn(1, RED)), ["R" * 16]),
    **{
        f"APNG, disposal {disposal}, blend {blend}": (
            apng(
                announced(3),
                place(0),
                after=place(1, 0, 0, 2, 2, disposal=disposal, blend=blend)
                + drawn(2, colour, 2, 2)
                + place(3, 3, 3, 1, 1)
                + drawn(4, WHITE, 1, 1),
            ),
            ["B" * 16, f"{top}BB{top}" + "B" * 10, f"{last}BB{last}" + "B" * 9 + "W"],
        )
        for disposal, blend, colour, top, last in (
            (0, 0, (0, 0, 0, 0), "..", ".."),
            (0, 1, (0, 0, 0, 0), "BB", "BB"),
            (1, 1, RED, "RR", ".."),
            (2, 0, RED, "RR", "BB"),
        )
    },
    "APNG that is not announced": (apng(after=TWO), ["B" * 16]),
}

#: Animations that viewers show in different ways, or in part.
DAMAGED = {
    "announced twice": apng(announced(2), announced(2), after=TWO),
    "announced late": apng(after=announced(2) + TWO),
    "announced as none": apng(announced(0), after=TWO),
    "announced as more": apng(announced(400), after=TWO),
    "announced as fewer": apng(announced(1), after=TWO),
    "a gap in the sequence": apng(announced(2), after=place(0) + drawn(1, RED) + place(3)),
    "a frame outside": apng(announced(1), after=place(0, 1, 1, 4, 4) + drawn(1, RED)),
    "an empty frame": apng(announced(2), place(0), after=place(1, 0, 0, 0, 0) + drawn(2, RED)),
    "a frame without data": apng(announced(2), place(0), after=place(1)),
    "too few rows": apng(announced(1), after=place(0) + drawn(1, RED, 4, 3)),
    "an unknown disposal": apng(announced(1), after=place(0, disposal=3) + drawn(1, RED)),
    "a damaged frame in the middle": apng(
        announced(3),
        place(0),
        after=place(1) + chunk(b"fdAT", b"\0\0\0\2abc") + place(3) + drawn(4, GREEN),
    ),
    "GIF with an empty frame": gif((4, 4), WHOLE + frame(0, 0, 0, 0, 1) + WHOLE),
    "GIF with a frame outside": gif((4, 4), WHOLE + frame(2, 2, 4, 4, 1)),
    "GIF with something between": gif((4, 4), WHOLE + b"\x99" + WHOLE),
}


def flat(n: int, size: tuple[int, int] = (48, 32)) -> list[Image.Image]:
    """Returns n frames; frame i has the grey i."""
    return [Image.new("RGB", size, (i % 256,) * 3) for i in range(n)]


def animation(frames: Sequence[Image.Image], form: str, **options: Any) -> bytes:
    """Returns the file of an animation."""
    options = {"duration": 40} | LOSSLESS.get(form, {}) | options
    return saved(frames[0], form, save_all=True, append_images=frames[1:], **options)


def look(content: bytes, frames: int, max_pixels: int = 10_000_000) -> SeenFrames[str]:
    """Returns the frames that are looked at, each pixel as the letter of its colour."""

    def letters(image: Image.Image) -> str:
        pixels = np.asarray(image.convert("RGBA")).reshape(-1, 4).tolist()
        return "".join(LETTERS.get(tuple(pixel), "?") for pixel in pixels)

    opener = partial(opened, content, max_pixels)
    return look_at_frames(content, opener, letters, frames=frames, max_pixels=max_pixels)


def greys(content: bytes, frames: int, max_pixels: int = 10_000_000) -> list[int]:
    """Returns the grey in the middle of each frame that is looked at, on white."""
    [sight] = read_sights(content, [HOW], Looking(frames), max_pixels=max_pixels)
    assert sight.squares.shape[1:] == (32, 32, 3)
    seen = zip(sight.squares, sight.looks, strict=True)
    return [int(square[16, 16, 0]) for square, look in seen if look.background == "white"]


@pytest.mark.parametrize("form", ANIMATED)
def test_all_frames_are_looked_at_or_the_ends_and_those_that_differ_most(form: str) -> None:
    content = animation(flat(40)[::2], form)
    assert greys(content, 1) == [0]
    assert greys(content, 2) == pytest.approx([0, 38], abs=1)
    assert greys(content, 3) == pytest.approx([0, 19, 38], abs=1.5)
    assert greys(content, 20) == pytest.approx(range(0, 40, 2), abs=1)
    assert greys(content, 64) == pytest.approx(range(0, 40, 2), abs=1)


@pytest.mark.parametrize("form", FORMATS)
def test_a_still_image_has_one_frame(form: str, coffee: Image.Image) -> None:
    [sight] = read_sights(saved(coffee, form), [HOW], Looking(64), max_pixels=10_000_000)
    assert sight.squares.shape == (1, 32, 32, 3)


def test_each_way_gets_the_same_frames() -> None:
    other = Preprocessing((8, 16), (8, 16), "bicubic", 1.0, (0.0,) * 3, (1.0,) * 3)
    content = animation(flat(9), "GIF")
    sights = read_sights(content, [HOW, other], Looking(3), max_pixels=10_000_000)
    first, second = (sight.squares for sight in sights)
    assert first.shape == (3, 32, 32, 3)
    assert second.shape == (3, 8, 16, 3)
    assert first[:, 0, 0, 0].tolist() == second[:, 0, 0, 0].tolist() == [0, 4, 8]


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_a_frame_that_draws_a_part_is_seen_over_the_frame_before(
    form: str, coffee: Image.Image
) -> None:
    photograph = coffee.resize((96, 64)).quantize(64).convert("RGB")
    changed = photograph.copy()
    changed.paste((0, 0, 0), (40, 20, 50, 30))
    content = animation([photograph, changed], form)
    assert len(content) < 1.7 * len(animation([photograph], form)), "the part alone is stored"
    [sight] = read_sights(content, [HOW], Looking(2), max_pixels=10_000_000)
    for square, whole in zip(sight.squares, (photograph, changed), strict=True):
        assert abs(square.astype(np.int16) - preprocess(whole, HOW)).max() < 3


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_transparent_parts_are_white_in_every_frame(form: str) -> None:
    frames = [Image.new("RGBA", (48, 32), (255, 0, 0, 0)) for _ in range(3)]
    for i, frame in enumerate(frames):
        frame.paste((0, 0, 10 * i, 255), (0, 0, 48, 4))
    content = animation(frames, form, disposal=2) if form != "WEBP" else animation(frames, form)
    assert greys(content, 3) == [255, 255, 255]


@pytest.mark.parametrize("form", ["GIF", "PNG"])
def test_an_animation_that_is_cut_off_is_refused(form: str, coffee: Image.Image) -> None:
    whole = animation([coffee.resize((96, 64)).rotate(9 * i) for i in range(20)], form)
    assert len(greys(whole, 4)) == 4
    with pytest.raises(ImageError, match="damaged"):
        greys(whole[: len(whole) // 2], 4)


def test_a_gif_needs_no_trailer_after_a_whole_frame() -> None:
    whole = animation(flat(5), "GIF")
    assert greys(whole[:-1], 5) == list(range(5))
    with pytest.raises(ImageError, match=r"damaged \(it ends too early\)"):
        greys(whole[:-2], 5)


PLACE = struct.pack("<HHHH", 16, 16, 1, 1)


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


def test_no_more_than_so_many_frames_are_drawn() -> None:
    parts = endless_gif((32, 32), MOST_FRAMES + 100).split(place := b"," + PLACE)
    grown = b"," + struct.pack("<HHHH", 16, 16, 9_000, 9_000)  # refused by whoever draws so far
    content = place.join(parts[: MOST_FRAMES + 50]) + grown + place.join(parts[MOST_FRAMES + 50 :])
    seen = look(content, 2, max_pixels=50_000_000)
    alike = MOST_FRAMES + 100  # frames of one grey follow each other; the first of them is seen
    grey = (MOST_FRAMES - 1) * 256 // alike
    assert [index for index, _ in seen.seen] == [0, -(-grey * alike // 256)]
    assert not seen.exhaustive
    assert seen.count == MOST_FRAMES + 1


def test_frames_together_are_bounded_by_the_pixels_of_stills() -> None:
    size = (200, 100)
    content = animation(flat(20, size), "GIF")
    pixels = size[0] * size[1]
    assert greys(content, 64, max_pixels=20 * pixels) == list(range(20))
    assert greys(content, 64, max_pixels=2 * pixels) == list(range(2 * MOST_STILLS))
    assert greys(content, 2, max_pixels=2 * pixels) == [0, 2 * MOST_STILLS - 1]
    with pytest.raises(ImageError, match="over the limit"):
        greys(content, 64, max_pixels=pixels - 1)


def test_a_frame_outside_the_canvas_is_damage() -> None:
    content = bytearray(endless_gif((32, 32), 3))
    at = content.rindex(b"," + PLACE)
    content[at + 5 : at + 9] = struct.pack("<HH", 9_000, 9_000)
    assert greys(bytes(content), 1) != []
    with pytest.raises(ImageError, match="damaged"):
        greys(bytes(content), 3)


@pytest.mark.parametrize("name", CHROMIUM)
def test_frames_are_those_that_a_browser_shows(name: str) -> None:
    content, shown = CHROMIUM[name]
    seen = look(content, 8)
    assert [picture for _, picture in seen.seen] == list(dict.fromkeys(shown))
    assert seen.exhaustive
    assert look(content, 8) == seen


@pytest.mark.parametrize("name", DAMAGED)
def test_an_animation_that_viewers_show_in_different_ways_is_refused(name: str) -> None:
    with pytest.raises(ImageError, match="the image is damaged"):
        look(DAMAGED[name], 8)


def test_one_frame_that_differs_is_found_among_a_thousand() -> None:
    dull = [frame(0, 0, 1, 1, i % 2) for i in range(999)]
    content = gif(
        (4, 4),
        frame(0, 0, 4, 4, 3)
        + b"".join(dull[:700])
        + control(10, 3)
        + frame(2, 2, 2, 2, 2)
        + b"".join(dull[700:]),
    )
    seen = look(content, 3)
    assert [index for index, _ in seen.seen] == [0, 1, 701]
    assert not seen.exhaustive
    assert seen.count == 1001
    assert look(content, 3) == seen


def test_frames_that_show_the_same_picture_are_looked_at_once() -> None:
    content = animation(
        [Image.new("RGBA", (48, 32), colour) for colour in ("red", "blue") * 20],
        "WEBP",
        minimize_size=False,
        lossless=True,
    )
    seen = look(content, 2)
    assert [index for index, _ in seen.seen] == [0, 1]
    assert seen.exhaustive
    assert seen.count == 40


def test_of_pictures_that_differ_as_much_the_one_shown_longest_is_chosen() -> None:
    ends = frame(0, 0, 4, 4, 0), frame(0, 0, 4, 4, 1)
    spots = [control(10 * (1 + (i == 2)), 3) + frame(i, 0, 1, 1, 2) for i in range(4)]
    seen = look(gif((4, 4), b"".join((ends[0], *spots, ends[1]))), 3)
    assert [index for index, _ in seen.seen] == [0, 3, 5]


def test_other_pictures_in_a_file_are_not_frames(coffee: Image.Image) -> None:
    red = Image.new("RGB", coffee.size, "red")
    forms = ["MPO", "HEIF"] if READS_HEIF else ["MPO"]
    for form in forms:
        content = animation([coffee, red], form, quality=90)
        [sight] = read_sights(content, [HOW], Looking(8), max_pixels=10_000_000)
        assert len(sight.squares) == 1
        assert abs(sight.squares[0].astype(np.int16) - preprocess(coffee, HOW)).mean() < 5
