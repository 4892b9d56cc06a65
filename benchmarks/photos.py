"""Photographs of the sizes and formats that people upload, made from small real ones.

The photographs of ../shared/data are about 300 pixels wide. They are enlarged with Lanczos and
given grain, so that files are about as large as cameras make them; the content stays real.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

PHOTOGRAPHS = Path(__file__).parent.parent.parent / "shared" / "data" / "objects" / "images"
GRAIN = 4
JPEG_QUALITY, WEBP_QUALITY = 88, 80


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


def described() -> str:
    """Returns the sizes and formats in words."""
    return ", ".join(f"{shape.width}x{shape.height} {shape.format}" for shape in SHAPES)


def save_photographs(
    folder: Path, count: int, originals: Iterable[Path] | None = None
) -> list[Path]:
    """Returns `count` new image files, each shape as often as the others.

    Raises:
        FileNotFoundError: there are no original photographs.
    """
    found = sorted(originals or PHOTOGRAPHS.rglob("*.jpg"))
    if not found:
        raise FileNotFoundError(f"{PHOTOGRAPHS}: no photographs; name a folder with --photos")
    # Every so many of them: they lie in one folder a class.
    spread = islice(cycle(found[:: max(1, len(found) // count)]), count)
    return [
        _save(folder / f"{i:04d}", original, shape)
        for i, (original, shape) in enumerate(zip(spread, cycle(SHAPES), strict=False))
    ]


def _save(target: Path, original: Path, shape: Shape) -> Path:
    with Image.open(original) as photograph:
        size = (shape.width, shape.height)
        large = photograph.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    generator = np.random.default_rng(shape.width)
    grain = generator.normal(0, GRAIN, (shape.height, shape.width, 1)).astype(np.int16)
    pixels = (np.asarray(large).astype(np.int16) + grain).clip(0, 255).astype(np.uint8)
    path = target.with_suffix(f".{shape.format.lower()}")
    quality = {"JPEG": {"quality": JPEG_QUALITY}, "WEBP": {"quality": WEBP_QUALITY}}
    Image.fromarray(pixels).save(path, shape.format, **quality.get(shape.format, {}))
    return path


class Copies:
    """New files of the same photographs: a file that was decided before is answered from the log.

    A few bytes behind the end of an image change what the file hashes to, and no pixel.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made = 0

    def new(self, photograph: Path) -> Path:
        """Returns a new file of a photograph."""
        self._made += 1
        copy = self._folder / f"{self._made}{photograph.suffix}"
        copy.write_bytes(photograph.read_bytes() + self._made.to_bytes(8, "big"))
        return copy

    @contextmanager
    def some(self, photographs: Sequence[Path], count: int) -> Iterator[list[Path]]:
        """Yields so many new files, the photographs in turns; they are gone after the block."""
        made = [self.new(photograph) for photograph in islice(cycle(photographs), count)]
        try:
            yield made
        finally:
            for path in made:
                path.unlink()
