"""Photographs of the sizes and formats that people upload, made from small real ones.

The photographs of ../shared/data are about 300 pixels wide. They are enlarged with Lanczos and
given grain, so that the files are about as large as a camera's; the content stays real.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

PHOTOGRAPHS = Path(__file__).parent.parent.parent / "shared" / "data" / "objects" / "images"
#: Standard deviation of the grain, of 255.
GRAIN = 4
JPEG_QUALITY, WEBP_QUALITY = 88, 80
#: Qualities of a camera's JPEGs, which take turns.
QUALITIES = (JPEG_QUALITY, 75, 95)


class Shape(NamedTuple):
    """A size and format that uploads have, and where it is usual."""

    width: int
    height: int
    format: str
    usual: str


#: Each as often as the others.
SHAPES = (
    Shape(640, 480, "JPEG", "thumbnail, old camera"),
    Shape(1080, 1080, "JPEG", "square post"),
    Shape(1280, 960, "PNG", "screenshot"),
    Shape(1280, 960, "JPEG", "messenger"),
    Shape(1600, 1200, "WEBP", "web page"),
    Shape(2048, 1536, "JPEG", "social network, large"),
    Shape(3264, 2448, "JPEG", "phone, 8 megapixels"),
    Shape(4000, 3000, "JPEG", "phone, 12 megapixels"),
)

#: What a worker is shown where its speed on two kinds of images is told apart.
SMALL, MIXED = "640x480", "eight sizes"
KINDS = {SMALL: SHAPES[:1], MIXED: SHAPES}


def described() -> str:
    """Returns the sizes and formats in words."""
    return ", ".join(f"{shape.width}x{shape.height} {shape.format}" for shape in SHAPES)


def find_jpegs(folder: Path, every: int = 1) -> list[Path]:
    """Returns some of the JPEGs below a folder, at equal distances."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    return found[::every]


def _enlarged_photograph(path: Path, width: int, height: int | None = None) -> Image.Image:
    """Returns a photograph with grain; without a height, `width` is that of its longer side."""
    with Image.open(path) as photograph:
        image = photograph.convert("RGB")
    factor = width / max(image.size)
    size = (
        (width, height) if height else (round(image.width * factor), round(image.height * factor))
    )
    pixels = np.asarray(image.resize(size, Image.Resampling.LANCZOS), np.int16)
    grain = np.random.default_rng(width).normal(0, GRAIN, (*pixels.shape[:2], 1))
    return Image.fromarray((pixels + grain.astype(np.int16)).clip(0, 255).astype(np.uint8))


def camera_file(path: Path, side: int, quality: int, icc_profile: bytes | None = None) -> bytes:
    """Returns a JPEG of a photograph whose longer side is `side`."""
    buffer = io.BytesIO()
    _enlarged_photograph(path, side).save(buffer, "JPEG", quality=quality, icc_profile=icc_profile)
    return buffer.getvalue()


def camera_files(paths: Sequence[Path], side: int | None) -> Iterator[bytes]:
    """Yields the files as they are, or enlarged to a side, at the qualities in turn."""
    for path, quality in zip(paths, cycle(QUALITIES), strict=False):
        yield camera_file(path, side, quality) if side else path.read_bytes()


def save_photographs(folder: Path, count: int) -> list[Path]:
    """Returns `count` new image files, each shape as often as the others.

    Raises:
        FileNotFoundError: there are no original photographs.
    """
    found = find_jpegs(PHOTOGRAPHS)
    if not found:
        raise FileNotFoundError(f"{PHOTOGRAPHS}: there are no photographs")
    # Every so many of them: each class has a folder of its own.
    spread = islice(cycle(found[:: max(1, len(found) // count)]), count)
    return [
        save_photograph(folder / f"{i:04d}", original, shape)
        for i, (original, shape) in enumerate(zip(spread, cycle(SHAPES), strict=False))
    ]


def save_drawn(folder: Path, shapes: Sequence[Shape] = SHAPES) -> list[Path]:
    """Returns a new image file of each shape where no photographs are: soft colours with grain.

    It is the grain that makes a file large, and a decoder busy.
    """
    folder.mkdir(exist_ok=True)
    original = folder / "original.png"
    colours = np.random.default_rng(3).integers(0, 256, (9, 12, 3), np.uint8)
    Image.fromarray(colours).resize((300, 225), Image.Resampling.BICUBIC).save(original)
    return [
        save_photograph(folder / f"{number:04d}", original, shape)
        for number, shape in enumerate(shapes)
    ]


def save_photograph(target: Path, original: Path, shape: Shape) -> Path:
    """Returns a new file of a photograph, stretched to a shape; its suffix names the format."""
    path = target.with_suffix(f".{shape.format.lower()}")
    quality = {"JPEG": {"quality": JPEG_QUALITY}, "WEBP": {"quality": WEBP_QUALITY}}
    image = _enlarged_photograph(original, shape.width, shape.height)
    image.save(path, shape.format, **quality.get(shape.format, {}))
    return path


class Copies:
    """New files of the same photographs: a file that was decided before is answered from the log.

    A few bytes after the end of an image change the file's hash, and no pixel.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def new(self, photograph: Path) -> Path:
        """Returns a new file of a photograph; several processes may make them in one folder."""
        mark = secrets.token_bytes(16)
        copy = self._folder / f"{mark.hex()}{photograph.suffix}"
        copy.write_bytes(photograph.read_bytes() + mark)
        return copy

    @contextmanager
    def some(self, photographs: Sequence[Path], count: int) -> Iterator[list[Path]]:
        """Yields so many new files of the photographs in turn; the block's end removes them."""
        made = [self.new(photograph) for photograph in islice(cycle(photographs), count)]
        try:
            yield made
        finally:
            for path in made:
                path.unlink()
