"""The OpenVINO runtime at toy size: when it is used, what it refuses, and that it is as safe.

test_encoders.py shows that its features are those of plain transformers, as it does for the others.
"""

from __future__ import annotations

import gc
import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from moderation.encoders.encoder import Encoder
from moderation.encoders.hardware import choose_hardware, use_hardware_threads
from moderation.encoders.options import ModelOptions
from moderation.encoders.registry import load_encoder
from moderation.errors import ModelError
from moderation.features import FeatureSpace
from moderation.images.looks import Looking, Pixels
from tests.support.command_line import python
from tests.support.toy_clip import IMAGE_SIZE

ON_OPENVINO = ModelOptions(dtype="float32", runtime="openvino")


@pytest.fixture(scope="module")
def encoder(toy_clip: Path) -> Encoder:
    return load_encoder(str(toy_clip), ON_OPENVINO)


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    shape = (40, IMAGE_SIZE, IMAGE_SIZE, 3)
    return np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def _no_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)


@pytest.fixture
def _no_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)


def test_auto_takes_openvino_on_a_cpu_where_it_is_installed() -> None:
    assert choose_hardware(ModelOptions(device="cpu")).runtime == "openvino"
    assert choose_hardware(ModelOptions(device="cpu", runtime="torch")).runtime == "torch"


@pytest.mark.usefixtures("_no_openvino")
def test_auto_takes_torch_where_openvino_is_not_installed() -> None:
    assert choose_hardware(ModelOptions(device="cpu")).runtime == "torch"


def test_auto_takes_torch_for_float16_and_for_other_devices() -> None:
    assert choose_hardware(ModelOptions(device="cpu", dtype="float16")).runtime == "torch"
    assert choose_hardware(ModelOptions(device="meta")).runtime == "torch"


@pytest.mark.usefixtures("_no_bfloat16")
def test_without_bfloat16_in_hardware_torch_emulates_it_and_float32_goes_to_openvino() -> None:
    assert choose_hardware(ModelOptions(device="cpu", dtype="bfloat16")).runtime == "torch"
    hardware = choose_hardware(ModelOptions(device="cpu"))
    assert (hardware.dtype, hardware.runtime) == (torch.float32, "openvino")


@pytest.mark.usefixtures("_no_openvino")
def test_openvino_that_is_not_installed_is_refused_with_what_to_do(toy_clip: Path) -> None:
    with pytest.raises(ModelError, match="runtime openvino: it is not installed") as caught:
        load_encoder(str(toy_clip), ON_OPENVINO)
    assert "evenhand[openvino]" in caught.value.remedy
    assert "MODERATION_RUNTIME=torch" in caught.value.remedy


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"device": "meta"}, "runs models on the CPU, not on meta"),
        ({"dtype": "float16"}, "has no float16"),
    ],
)
def test_what_openvino_cannot_do_is_refused(options: dict[str, Any], what: str) -> None:
    with pytest.raises(ModelError, match=what):
        choose_hardware(ModelOptions(runtime="openvino", **options))


@pytest.mark.usefixtures("_no_bfloat16")
def test_bfloat16_that_openvino_would_not_compute_in_is_refused() -> None:
    with pytest.raises(ModelError, match="does not multiply in bfloat16"):
        choose_hardware(ModelOptions(runtime="openvino", dtype="bfloat16"))


def test_whoever_asks_for_openvino_gets_the_cpu_on_a_machine_with_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_hardware(ON_OPENVINO).device.type == "cpu"


def test_a_module_that_openvino_cannot_compile_is_an_error_that_names_the_way_out() -> None:
    from moderation.encoders.openvino import compiled_by_openvino

    class Sorting(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            values: torch.Tensor = torch.linalg.eigvals(pixels[..., 0].float())
            return values

    level = logging.getLogger().level
    with pytest.raises(ModelError, match="cannot compile") as caught:
        compiled_by_openvino(Sorting(), (8, 8), choose_hardware(ON_OPENVINO))
    assert "MODERATION_RUNTIME=torch" in caught.value.remedy
    assert logging.getLogger().level == level  # otherwise nothing is logged any more


def test_every_number_of_images_has_its_rows(encoder: Encoder, pixels: Pixels) -> None:
    together = encoder.image_features(pixels)
    for count in (1, 2, 3, 7, 16, 17, 40, 5):
        assert abs(encoder.image_features(pixels[:count]) - together[:count]).max() < 1e-5


def test_pixels_that_are_not_contiguous_or_writable_are_read_alike(
    encoder: Encoder, pixels: Pixels
) -> None:
    mirrored = pixels[::2, :, ::-1]
    mirrored.flags.writeable = False
    expected = encoder.image_features(np.ascontiguousarray(mirrored))
    assert np.array_equal(encoder.image_features(mirrored), expected)


def test_threads_that_ask_at_the_same_time_get_their_own_rows(
    encoder: Encoder, pixels: Pixels
) -> None:
    alone = [encoder.image_features(pixels[i : i + 1]) for i in range(len(pixels))]
    with ThreadPoolExecutor(8) as pool:
        asked = pool.map(lambda i: encoder.image_features(pixels[i : i + 1]), range(len(pixels)))
        assert all(np.array_equal(*pair) for pair in zip(alone, asked, strict=True))


def test_rows_are_not_overwritten_by_the_next_batch(encoder: Encoder, pixels: Pixels) -> None:
    first = encoder.image_features(pixels[:4])
    kept = first.copy()
    encoder.image_features(pixels[4:8])
    assert np.array_equal(first, kept)


def test_the_compiled_model_keeps_its_weights_when_torchs_are_gone(
    toy_siglip: Path, pixels: Pixels
) -> None:
    options = ModelOptions(runtime="openvino")
    encoders = [load_encoder(str(toy_siglip), options) for _ in range(3)]
    _ = [torch.full((1_000_000,), 7.0) for _ in range(20)]  # over what was freed
    first, *others = [encoder.image_features(pixels) for encoder in encoders]
    assert all(np.array_equal(first, other) for other in others)


def test_torchs_weights_of_the_image_tower_are_gone(toy_clip: Path) -> None:
    def weights() -> int:
        gc.collect()
        found = [each for each in gc.get_objects() if type(each) is torch.nn.Parameter]
        return sum(weight.numel() for weight in found)

    before = weights()
    on_torch = load_encoder(str(toy_clip), ModelOptions(dtype="float32", runtime="torch"))
    whole = weights() - before
    on_openvino = load_encoder(str(toy_clip), ON_OPENVINO)
    texts = weights() - before - whole
    assert 0 < texts < whole
    assert on_torch.stamp.fingerprint == on_openvino.stamp.fingerprint


def test_the_stamp_says_the_runtime_and_image_features_of_two_are_two_spaces(
    encoder: Encoder, toy_clip: Path
) -> None:
    on_torch = load_encoder(str(toy_clip), ModelOptions(dtype="float32", runtime="torch")).stamp
    on_openvino = encoder.stamp
    assert (on_torch.runtime, on_openvino.runtime) == ("torch", "openvino")
    assert on_torch.model_copy(update={"runtime": "openvino"}) == on_openvino
    spaces = [FeatureSpace.of_images(each, Looking()) for each in (on_torch, on_openvino)]
    assert spaces[0] != spaces[1]
    assert spaces[0].folder != spaces[1].folder
    assert FeatureSpace.of_texts(on_torch) == FeatureSpace.of_texts(on_openvino)


def test_openvino_is_imported_without_what_reports_its_use() -> None:
    code = (
        "import moderation.encoders.openvino as ours, sys; ours._openvino();"
        "print(*[n for n, m in sys.modules.items() if n.startswith('openvino_telemetry') and m])"
    )
    assert python(code).stdout.strip() == ""


def test_threads_are_as_many_as_asked_for_or_the_usable_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = torch.get_num_threads()
    try:
        assert use_hardware_threads(3) == torch.get_num_threads() == 3
        monkeypatch.setattr("moderation.encoders.hardware.usable", lambda: 1)
        assert use_hardware_threads(None) == torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
