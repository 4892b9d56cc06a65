"""HEIC files, in the processes that decode."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pillow_heif

from moderation.images.decode.child import DecodeLimits
from moderation.images.decode.pool import DecoderPool
from tests.extras.command import refuse_installed
from tests.extras.photograph import save_photograph
from tests.support.stub_encoder import StubEncoder


def main() -> None:
    """Decodes one image as HEIC and as PNG, and finds nearly the same pixels."""
    refuse_installed("torch")
    pillow_heif.register_heif_opener()
    way = [StubEncoder.preprocessing]
    with (
        tempfile.TemporaryDirectory() as folder,
        DecoderPool(1, DecodeLimits(10_000_000, 1, 10.0)) as decoders,
    ):
        files = [Path(folder) / name for name in ("photograph.heic", "photograph.png")]
        sights = [decoders.sights(save_photograph(file).read_bytes(), way)[0] for file in files]
    heic, png = (sight.squares.astype(int) for sight in sights)
    assert np.abs(heic - png).mean() < 5, np.abs(heic - png).mean()
