"""Shared by the tests of images: one real photograph."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture(scope="session")
def coffee(photographs: list[Path]) -> Image.Image:
    """A photograph of 600 x 400 pixels, as RGB."""
    path = next(path for path in photographs if path.name == "coffee.png")
    return Image.open(path).convert("RGB")
