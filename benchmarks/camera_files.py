"""JPEGs as large as cameras make them, from photographs that are small."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

#: Of JPEGs, in turn.
QUALITIES = (88, 75, 95)
#: Standard deviation of the grain, of 255.
GRAIN = 4


def photographs(folder: Path, every: int) -> list[Path]:
    """Returns the JPEGs below a folder, every so many of them."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    return found[::every]


def enlarged(path: Path, side: int, quality: int, icc_profile: bytes | None = None) -> bytes:
    """Returns a JPEG of a photograph whose longer side is `side`, with grain."""
    with Image.open(path) as photograph:
        image = photograph.convert("RGB")
    factor = side / max(image.size)
    size = round(image.width * factor), round(image.height * factor)
    pixels = np.asarray(image.resize(size, Image.Resampling.LANCZOS), np.int16)
    grain = np.random.default_rng(side).normal(0, GRAIN, pixels.shape[:2]).astype(np.int16)
    noisy = (pixels + grain[..., np.newaxis]).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noisy).save(buffer, "JPEG", quality=quality, icc_profile=icc_profile)
    return buffer.getvalue()


def contents(paths: Sequence[Path], side: int | None) -> Iterator[bytes]:
    """Yields the files as they are, or enlarged to a side at the qualities in turn."""
    for i, path in enumerate(paths):
        yield enlarged(path, side, QUALITIES[i % 3]) if side else path.read_bytes()
