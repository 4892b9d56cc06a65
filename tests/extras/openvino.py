"""The runtime OpenVINO, with a CLIP of toy size and random weights."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.extras.starter import scan
from tests.support.toy_clip import save_toy_clip


def main() -> None:
    """Scans, and sees that OpenVINO ran the model without being asked for."""
    with tempfile.TemporaryDirectory() as folder:
        scan(str(save_toy_clip(Path(folder) / "toy")), runtime="openvino")
