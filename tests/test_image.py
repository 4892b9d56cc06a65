from __future__ import annotations

import io
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from moderation.errors import ImageError
from moderation.image import Preprocessing, decode, preprocess

CLIP = Preprocessing(
    resize=224, crop=(224, 224), resample="bicubic", scale=1 / 255, mean=(0.5,) * 3, std=(0.5,) * 3
)


def _saved(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _decoded(content: bytes) -> Image.Image:
    return decode(content, max_pixels=10_000_000)


@pytest.fixture
def coffee(photographs: list[Path]) -> Image.Image:
    path = next(path for path in photographs if path.name == "coffee.png")
    return Image.open(path).convert("RGB")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP"])
def test_every_accepted_format_is_decoded_to_upright_rgb(form: str, coffee: Image.Image) -> None:
    decoded = _decoded(_saved(coffee, form))
    assert decoded.mode == "RGB"
    assert decoded.size == coffee.size
    difference = np.asarray(decoded, np.int16) - np.asarray(coffee, np.int16)
    assert abs(difference).mean() < 8


@pytest.mark.parametrize("form", ["TIFF", "ICO", "PPM", "TGA", "PDF"])
def test_other_formats_are_refused_whatever_their_name(form: str, coffee: Image.Image) -> None:
    with pytest.raises(ImageError, match="no image of type JPEG"):
        _decoded(_saved(coffee.resize((64, 64)), form))


def test_exif_orientation_is_applied(coffee: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert _decoded(_saved(coffee, "JPEG", exif=exif)).size == (coffee.height, coffee.width)


def test_cmyk_and_grey_become_rgb(coffee: Image.Image) -> None:
    for mode in ("CMYK", "L"):
        assert _decoded(_saved(coffee.convert(mode), "JPEG")).mode == "RGB"


def test_transparent_parts_show_white_and_not_what_is_hidden_there() -> None:
    hidden = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert _decoded(_saved(hidden, "PNG")).getpixel((0, 0)) == (255, 255, 255)
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([255, 0, 0, 0, 0, 255])
    assert _decoded(_saved(palette, "PNG", transparency=0)).getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bit_greys_keep_their_upper_bits() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    decoded = _decoded(_saved(Image.fromarray(ramp), "PNG"))
    assert np.array_equal(np.asarray(decoded)[..., 0], (ramp >> 8).astype(np.uint8))


@pytest.mark.parametrize("kept", [0, 1, 20, 200, 2000])
def test_a_truncated_file_is_refused(kept: int, coffee: Image.Image) -> None:
    with pytest.raises(ImageError):
        _decoded(_saved(coffee, "JPEG")[:kept])


def test_too_many_pixels_are_refused_before_they_are_decoded(coffee: Image.Image) -> None:
    with pytest.raises(ImageError, match="600 x 400 pixels are over the limit of 1000"):
        decode(_saved(coffee, "PNG"), max_pixels=1000)


def test_a_decompression_bomb_is_refused() -> None:
    bomb = _saved(Image.new("1", (20_000, 20_000)), "PNG")
    assert len(bomb) < 100_000
    with pytest.raises(ImageError):
        _decoded(bomb)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP"])
def test_damage_anywhere_gives_an_image_or_an_image_error(form: str, coffee: Image.Image) -> None:
    content = _saved(coffee.resize((60, 40)), form)
    generator = np.random.default_rng(11)
    outcomes = set()
    for _ in range(300):
        damaged = bytearray(content)
        for at in generator.integers(0, len(content), 4):
            damaged[at] = generator.integers(0, 256)
        try:
            outcomes.add(_decoded(bytes(damaged)).mode)
        except ImageError:
            outcomes.add("refused")
    assert outcomes == {"RGB", "refused"}


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


def test_the_fingerprint_moves_with_every_number() -> None:
    others = [
        Preprocessing(256, CLIP.crop, CLIP.resample, CLIP.scale, CLIP.mean, CLIP.std),
        Preprocessing(224, CLIP.crop, "bilinear", CLIP.scale, CLIP.mean, CLIP.std),
        Preprocessing(224, CLIP.crop, CLIP.resample, CLIP.scale, CLIP.mean, (0.5, 0.5, 0.4)),
    ]
    assert len({CLIP.fingerprint, *(other.fingerprint for other in others)}) == 4
