"""Files -> upright RGB pixels, decoded no larger than needed, as the reference processors do."""

from __future__ import annotations

import io
import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from moderation.errors import ImageError
from moderation.images import pixels as pixels_module
from moderation.images.formats import FORMATS, READS_HEIF, SUFFIXES
from moderation.images.looks import Looking, Pixels
from moderation.images.pixels import SCALE, Preprocessing, decode, preprocess, read_sights
from tests.support.hostile_files import chunk, saved

CLIP = Preprocessing(
    resize=224, crop=(224, 224), resample="bicubic", scale=1 / 255, mean=(0.5,) * 3, std=(0.5,) * 3
)
EXACT = Preprocessing((96, 160), (96, 160), "bilinear", 1 / 255, (0.5,) * 3, (0.5,) * 3)

#: What scaled decoding may change, of 255. Measured on photographs: 0.1 and 5.
MEAN_CHANGE, LARGEST_CHANGE = 0.4, 8


def _decoded(content: bytes) -> Image.Image:
    return decode(content, max_pixels=10_000_000)


@pytest.fixture
def camera_jpeg(coffee: Image.Image) -> Callable[..., bytes]:
    """Makes a JPEG as large as a camera's, 2103 x 1402 by default."""

    def save(
        size: tuple[int, int] = (2103, 1402), mode: str = "RGB", orientation: int = 1
    ) -> bytes:
        exif = Image.Exif()
        exif[0x0112] = orientation
        enlarged = coffee.resize(size, Image.Resampling.LANCZOS).convert(mode)
        return saved(enlarged, "JPEG", quality=90, exif=exif)

    return save


def _square(content: bytes, how: Preprocessing = CLIP) -> Pixels:
    [sight] = read_sights(content, [how], max_pixels=10_000_000)
    square: Pixels = sight.squares[0]
    return square


def _assert_decoded_smaller(content: bytes, how: Preprocessing = CLIP) -> None:
    """It is decoded smaller, with every pixel in its place."""
    change = _change(content, how)
    assert change.max() > 0, "it was decoded in full"
    assert change.mean() < MEAN_CHANGE
    assert change.max() < LARGEST_CHANGE


def _change(content: bytes, how: Preprocessing = CLIP) -> npt.NDArray[np.int16]:
    """Returns how far scaled decoding is from decoding in full."""
    reference = preprocess(_decoded(content), how).astype(np.int16)
    change: npt.NDArray[np.int16] = abs(_square(content, how).astype(np.int16) - reference)
    return change


@pytest.mark.parametrize("form", FORMATS)
def test_every_accepted_format_is_decoded_to_upright_rgb(form: str, coffee: Image.Image) -> None:
    decoded = _decoded(saved(coffee, form))
    assert decoded.mode == "RGB"
    assert decoded.size == coffee.size
    difference = np.asarray(decoded, np.int16) - np.asarray(coffee, np.int16)
    assert abs(difference).mean() < 8


@pytest.mark.parametrize("form", ["TIFF", "ICO", "PPM", "TGA", "PDF"])
def test_other_formats_are_refused(form: str, coffee: Image.Image) -> None:
    with pytest.raises(ImageError, match="not an image of type JPEG"):
        _decoded(saved(coffee.resize((64, 64)), form))


def test_heic_without_its_library_is_refused_with_what_to_install(coffee: Image.Image) -> None:
    if not READS_HEIF:
        pytest.skip("pillow-heif is not installed, so no HEIC file can be made")
    code = (
        "import sys; sys.modules['pillow_heif'] = None\n"  # as if it were not installed
        "from moderation.images.formats import FORMATS, SUFFIXES\n"
        "from moderation.images.pixels import decode\n"
        "print('HEIF' in FORMATS, '.heic' in SUFFIXES)\n"
        "decode(sys.stdin.buffer.read(), max_pixels=10**6)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=saved(coffee, "HEIF"), capture_output=True
    )
    assert done.stdout.decode().strip() == "False False"
    assert "HEIC images are not read here. Install pillow-heif" in done.stderr.decode()
    assert {"HEIF"} <= set(FORMATS)
    assert {".heic", ".heif"} <= set(SUFFIXES)


@pytest.mark.slow
@pytest.mark.parametrize("form", [form for form in FORMATS if form not in ("GIF", "BMP", "WEBP")])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(form: str, orientation: int, coffee: Image.Image) -> None:
    # Where each orientation puts the first row and column of the file, by EXIF 2.32.
    turned = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: a[::-1].swapaxes(0, 1),
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: a[:, ::-1].swapaxes(0, 1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    # As bytes, since pillow-heif then writes the turn into the container, where HEIF has it.
    found = np.asarray(_decoded(saved(coffee, form, exif=exif.tobytes())), np.int16)
    expected = turned[orientation](np.asarray(coffee, np.int16))
    assert found.shape == expected.shape
    assert abs(found - expected).mean() < 8


@pytest.mark.parametrize("kept", [0, 1, 20, 200, 2000])
def test_a_truncated_file_is_refused(kept: int, coffee: Image.Image) -> None:
    with pytest.raises(ImageError):
        _decoded(saved(coffee, "JPEG")[:kept])


@pytest.mark.parametrize("size", [(10, 300_000), (300_000, 10), (1, 40_000_000)])
def test_a_long_strip_is_not_enlarged_to_gigabytes(size: tuple[int, int]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert preprocess(Image.new("RGB", size), CLIP).shape == (224, 224, 3)
    grown_kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kilobytes < 500_000


@pytest.mark.parametrize("size", [(600, 400), (401, 600), (224, 224), (225, 900), (50, 31)])
def test_preprocessing_equals_the_reference_processor(
    size: tuple[int, int], coffee: Image.Image
) -> None:
    image = coffee.resize(size)
    plain: dict[str, Any] = {"do_rescale": False, "do_normalize": False, "return_tensors": "np"}
    clip = CLIPImageProcessorPil(size={"shortest_edge": 224}, crop_size=224, resample=3)
    expected = clip(image, **plain)["pixel_values"][0].transpose(1, 2, 0)
    assert np.array_equal(preprocess(image, CLIP), expected)
    exact = Preprocessing((96, 128), (96, 128), "bilinear", 1 / 255, (0.5,) * 3, (0.5,) * 3)
    siglip = SiglipImageProcessorPil(size={"height": 96, "width": 128}, resample=2)
    expected = siglip(image, **plain)["pixel_values"][0].transpose(1, 2, 0)
    assert np.array_equal(preprocess(image, exact), expected)


@pytest.mark.parametrize("how", [CLIP, EXACT], ids=["shorter side", "exact"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_camera_jpeg_is_decoded_smaller_with_every_pixel_in_its_place(
    orientation: int, how: Preprocessing, camera_jpeg: Callable[..., bytes]
) -> None:
    _assert_decoded_smaller(camera_jpeg(orientation=orientation), how)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_jpegs_are_decoded_smaller_too(
    mode: str, camera_jpeg: Callable[..., bytes]
) -> None:
    _assert_decoded_smaller(camera_jpeg(mode=mode))


def test_sides_that_cannot_be_divided_shift_nothing(camera_jpeg: Callable[..., bytes]) -> None:
    """A quarter of 2689 pixels is 672 and a bit; taken as 673, it would shift the right edge."""
    content = camera_jpeg((2689, 2689))
    with Image.open(io.BytesIO(content)) as image:
        image.draft(None, (672, 672))
        stretched = preprocess(image.copy(), CLIP)
    reference = preprocess(_decoded(content), CLIP).astype(np.int16)
    edge = np.s_[:, -40:]
    ours = abs(_square(content)[edge] - reference[edge]).mean()
    assert ours < 0.5 * abs(stretched[edge] - reference[edge]).mean()


def test_a_very_long_strip_is_cut_to_the_same_middle(camera_jpeg: Callable[..., bytes]) -> None:
    small = Preprocessing(64, (64, 64), "bicubic", 1 / 255, (0.5,) * 3, (0.5,) * 3)
    for size in ((401, 9_000), (9_000, 401)):
        _assert_decoded_smaller(camera_jpeg(size), small)


def test_the_largest_of_several_ways_decides_how_small_a_jpeg_is_decoded(
    camera_jpeg: Callable[..., bytes],
) -> None:
    content = camera_jpeg((3000, 2000))
    large = Preprocessing(700, (700, 700), "bicubic", 1 / 255, (0.5,) * 3, (0.5,) * 3)
    small, other = read_sights(content, [CLIP, large], max_pixels=10_000_000)
    assert np.array_equal(other.squares[0], _square(content, large))
    assert not np.array_equal(small.squares[0], _square(content))


def test_what_is_small_already_is_decoded_in_full(camera_jpeg: Callable[..., bytes]) -> None:
    shorter = 2 * SCALE * CLIP.crop[0] - 1
    assert _change(camera_jpeg((shorter + 200, shorter))).max() == 0
    assert _change(camera_jpeg((shorter + 200, shorter + 1))).max() > 0


@pytest.mark.slow
@pytest.mark.parametrize("form", [form for form in FORMATS if form != "JPEG"])
def test_other_formats_are_decoded_in_full(form: str, coffee: Image.Image) -> None:
    assert _change(saved(coffee.resize((1803, 1202)), form)).max() == 0


def test_a_jpeg_with_more_pictures_in_it_shows_its_first(coffee: Image.Image) -> None:
    second = Image.new("RGB", (300, 200), "red")
    content = saved(coffee.resize((2103, 1402)), "MPO", save_all=True, append_images=[second])
    [sight] = read_sights(content, [CLIP], Looking(8), max_pixels=10_000_000)
    assert sight.squares.shape == (1, 224, 224, 3)
    assert 0 < _change(content).max() < LARGEST_CHANGE


def test_the_limit_is_of_the_whole_image_however_small_it_would_be_decoded(
    camera_jpeg: Callable[..., bytes],
) -> None:
    with pytest.raises(ImageError, match="2103 x 1402 pixels are over the limit of 2000000"):
        read_sights(camera_jpeg(), [CLIP], max_pixels=2_000_000)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
def test_without_a_way_the_check_finds_what_reading_would_find(
    form: str, coffee: Image.Image
) -> None:
    content = saved(coffee.resize((900, 600)), form)
    generator = np.random.default_rng(5)
    outcomes = set()
    for i in range(60):
        damaged = bytearray(content[: len(content) * 2 // 3] if i % 3 == 1 else content)
        for at in generator.integers(0, len(damaged), 3 if i else 0):  # the first time whole
            damaged[at] = generator.integers(0, 256)
        readable = []
        for ways in ([], [CLIP]):
            try:
                read_sights(bytes(damaged), ways, max_pixels=10_000_000)
                readable.append(True)
            except ImageError:
                readable.append(False)
        assert readable[0] == readable[1]
        outcomes.add(readable[0])
    assert outcomes == {True, False}


@pytest.mark.parametrize("name", ["png-text-1.2MB.png", "jpeg-xmp-orientation-6.jpg"])
def test_notes_in_a_file_change_nothing_in_its_picture(name: str, objects: Path) -> None:
    seen = objects.parents[1] / "seen"
    plain = _square((seen / "plain.png").read_bytes()).astype(np.int16)
    assert abs(_square((seen / name).read_bytes()) - plain).mean() < 4


def test_a_png_is_read_without_its_texts_wherever_they_stand(coffee: Image.Image) -> None:
    packed = zlib.compress(bytes(2_000_000))
    texts = chunk(b"zTXt", b"a\0\0" + packed) + chunk(b"iTXt", b"a\0\1\0\0\0" + packed)
    frames = [coffee.resize((96, 64)).rotate(9 * i) for i in range(4)]
    moving = {"save_all": True, "append_images": frames[1:]}
    for content in (saved(frames[0], "PNG"), saved(frames[0], "PNG", **moving)):
        noted = content
        for kind, length in ((b"gAMA", 4), (b"acTL", 8), (b"fcTL", 26), (b"IEND", 0)):
            mark = struct.pack(">I", length) + kind
            noted = noted.replace(mark, texts + mark)
        assert len(noted) > len(content) + len(texts) - 1
        expected, found = (
            read_sights(file, [EXACT], Looking(4), max_pixels=10_000_000)[0].squares
            for file in (content, noted)
        )
        assert np.array_equal(found, expected)


def test_texts_between_its_pixels_end_a_png_as_they_did(coffee: Image.Image) -> None:
    """Viewers show what comes before the text, so what comes after must not be added."""
    content = saved(coffee, "PNG")
    at = content.index(b"IDAT") - 4
    [length] = struct.unpack_from(">I", content, at)
    pixels = content[at + 8 : at + 8 + length]
    text = chunk(b"tEXt", b"a\0b")
    for between in (b"", text):
        parted = chunk(b"IDAT", pixels[:1000]) + between + chunk(b"IDAT", pixels[1000:])
        parted = content[:at] + parted + content[at + 12 + length :]
        if between:
            with pytest.raises(ImageError, match="it ends too early"):
                _decoded(parted)
        else:
            assert np.array_equal(np.asarray(_decoded(parted)), np.asarray(coffee))


def test_the_fingerprint_moves_with_every_number() -> None:
    others = [
        Preprocessing(256, CLIP.crop, CLIP.resample, CLIP.scale, CLIP.mean, CLIP.std),
        Preprocessing(224, CLIP.crop, "bilinear", CLIP.scale, CLIP.mean, CLIP.std),
        Preprocessing(224, CLIP.crop, CLIP.resample, CLIP.scale, CLIP.mean, (0.5, 0.5, 0.4)),
    ]
    assert len({CLIP.fingerprint, *(other.fingerprint for other in others)}) == 4


def test_the_fingerprint_moves_with_how_files_are_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = CLIP.fingerprint
    monkeypatch.setattr(pixels_module, "DECODING_VERSION", pixels_module.DECODING_VERSION + 1)
    assert CLIP.fingerprint != before
