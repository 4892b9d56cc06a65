"""The image tower on a GPU, at toy size; skipped on a machine without one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from moderation.encoders.encoder import Encoder
from moderation.encoders.options import ModelOptions
from moderation.encoders.registry import load_encoder
from moderation.encoders.transfer import SIZES
from moderation.errors import ModelError
from moderation.images.looks import Pixels
from tests.support.toy_clip import IMAGE_SIZE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here"),
]

#: What sums in another order move an entry by: the CPU's and the GPU's, in float32.
ENTRY = 1e-4


WITH_GRAPHS = ModelOptions(device="cuda", dtype="float32")
WITHOUT = replace(WITH_GRAPHS, graphs=False)
COMPILED = replace(WITH_GRAPHS, compile=True)


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    shape = (300, IMAGE_SIZE, IMAGE_SIZE, 3)
    return np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(scope="module", params=["clip", "siglip"])
def folder(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.getfixturevalue(f"toy_{request.param}")
    return folder


@pytest.fixture(scope="module")
def graphed(folder: Path) -> Encoder:
    return load_encoder(str(folder), WITH_GRAPHS)


@pytest.fixture
def budget() -> Iterator[int]:
    """Lets torch use a twentieth of the device; its bytes."""
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.05)
    yield int(0.05 * torch.cuda.get_device_properties(0).total_memory)
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


def test_every_size_is_recorded_without_a_warning(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        encoder = load_encoder(str(folder), WITH_GRAPHS)
    assert encoder.stamp.runtime == "torch"
    assert f"{len(SIZES)} sizes as CUDA graphs" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("count", [1, 2, 3, 33, 65, 128, 129, 300])
def test_features_are_those_of_the_cpu_in_every_number(
    count: int, folder: Path, graphed: Encoder, pixels: Pixels
) -> None:
    on_cpu = load_encoder(
        str(folder), ModelOptions(device="cpu", dtype="float32", runtime="torch")
    ).image_features(pixels[:count])
    assert abs(graphed.image_features(pixels[:count]) - on_cpu).max() < ENTRY


def test_graphs_switched_off_compute_alike(folder: Path, graphed: Encoder, pixels: Pixels) -> None:
    eager = load_encoder(str(folder), WITHOUT)
    assert abs(eager.image_features(pixels) - graphed.image_features(pixels)).max() < 1e-5
    assert eager.stamp == graphed.stamp


def test_compiled_features_are_those_of_the_plain_tower(
    folder: Path, graphed: Encoder, pixels: Pixels
) -> None:
    compiled = load_encoder(str(folder), COMPILED)
    assert compiled.stamp.runtime == "torch_compile"
    assert abs(compiled.image_features(pixels) - graphed.image_features(pixels)).max() < ENTRY


def test_threads_that_ask_at_the_same_time_get_their_own_rows(
    graphed: Encoder, pixels: Pixels
) -> None:
    alone = [graphed.image_features(pixels[i : i + 3]) for i in range(60)]
    with ThreadPoolExecutor(8) as pool:
        asked = pool.map(lambda i: graphed.image_features(pixels[i : i + 3]), range(60))
        assert all(np.array_equal(*pair) for pair in zip(alone, asked, strict=True))


def test_memory_that_runs_out_halves_the_batch(
    toy_clip: Path, pixels: Pixels, budget: int, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = load_encoder(str(toy_clip), WITHOUT)
    expected = encoder.image_features(pixels)
    torch.cuda.empty_cache()
    # The values of 128 images are tensors of over 1 MB, for which torch takes 20 MB at a time.
    # Those of 64 are smaller, and torch takes 2 MB for them.
    taken = budget - torch.cuda.memory_reserved() - 12_000_000
    held = torch.empty(taken, dtype=torch.uint8, device="cuda")
    assert abs(encoder.image_features(pixels) - expected).max() < 1e-5
    assert "the device has no memory for 128 images at once" in caplog.text
    del held


def test_a_model_that_does_not_fit_is_refused_with_what_to_do(toy_clip: Path) -> None:
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-9)
    try:
        with pytest.raises(ModelError) as caught:
            load_encoder(str(toy_clip), WITH_GRAPHS)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert caught.value.remedy
