"""An image that needs no package but the core's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def save_photograph(path: Path, seed: int = 0) -> Path:
    """Writes an image of coloured blocks, in the format of its suffix; returns its path."""
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(blocks).resize((320, 240)).save(path)
    return path
