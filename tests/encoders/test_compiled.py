"""The image tower compiled by torch, at toy size on the CPU: its features and its weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from torch._dynamo.utils import counters
from transformers import AutoModel

from moderation.encoders.compiled import compiled_by_torch
from moderation.encoders.image_tower import ImageTower
from moderation.encoders.options import ModelOptions
from moderation.encoders.registry import load_encoder
from moderation.images.pixels import Preprocessing
from tests.support.toy_clip import IMAGE_SIZE

PREPROCESSING = Preprocessing(
    resize=IMAGE_SIZE,
    crop=(IMAGE_SIZE, IMAGE_SIZE),
    resample="bicubic",
    scale=1 / 255,
    mean=(0.5, 0.4, 0.3),
    std=(0.3, 0.2, 0.1),
)
needs_a_compiler = pytest.mark.skipif(
    shutil.which("g++") is None, reason="torch compiles for the CPU with g++, which is not here"
)


def _tower(folder: Path) -> ImageTower:
    return ImageTower(AutoModel.from_pretrained(folder), PREPROCESSING).eval()


def _pixels(images: int) -> torch.Tensor:
    chosen = np.random.default_rng(images).integers(
        0, 256, (images, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8
    )
    return torch.from_numpy(chosen)


@pytest.mark.slow
@needs_a_compiler
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # its own
def test_compiled_features_are_those_of_the_plain_tower(
    toy_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch.compiler.reset()
    plain = _tower(toy_clip)
    compiled = compiled_by_torch(plain)
    counters.clear()
    before = psutil.Process().children()
    with torch.inference_mode():
        for images in (2, 1, 3, 16, 48, 1):
            pixels = _pixels(images)
            assert abs(compiled(pixels) - plain(pixels)).max() < 1e-5
    # The values of pixels and a layer, each for one image and for several: not each layer and size.
    assert counters["stats"]["unique_graphs"] == 4
    assert psutil.Process().children() == before


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_the_costly_parts_are_traced_whole_and_all_layers_as_one(
    kind: str, request: pytest.FixtureRequest
) -> None:
    torch.compiler.reset()
    tower = _tower(request.getfixturevalue(f"toy_{kind}"))
    expected = tower(_pixels(3)).detach()
    for part in tower.costly_parts:
        part.compile(fullgraph=True, dynamic=True, backend="eager")
    counters.clear()
    with torch.inference_mode():
        assert torch.equal(tower(_pixels(3)), expected)
    assert len(tower.costly_parts) == 3
    assert counters["stats"]["unique_graphs"] == 2


def test_the_compiled_tower_holds_the_same_memory(toy_clip: Path) -> None:
    plain = _tower(toy_clip)
    compiled = compiled_by_torch(plain)
    places = [[each.data_ptr() for each in tower.parameters()] for tower in (plain, compiled)]
    assert places[0] == places[1]
    assert compiled.costly_parts[0] is not plain.costly_parts[0]


def test_on_the_cpu_compiling_is_left_out_with_a_word(
    toy_clip: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = ModelOptions(device="cpu", dtype="float32", runtime="torch", compile=True)
    encoder = load_encoder(str(toy_clip), options)
    assert "MODERATION_COMPILE has no effect on cpu, only on CUDA" in caplog.messages
    assert encoder.stamp.runtime == "torch"
