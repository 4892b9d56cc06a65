"""Checkpoints of CLIP and SigLIP, here at toy size with random weights."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.extras.starter import scan
from tests.support.toy_clip import save_toy_clip


def main() -> None:
    """Scans with a checkpoint of each architecture."""
    with tempfile.TemporaryDirectory() as folder:
        for siglip in (False, True):
            model = save_toy_clip(Path(folder) / f"siglip-{siglip}", siglip=siglip)
            scan(str(model), runtime="torch")
