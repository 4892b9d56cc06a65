"""The encoder alone on this machine's GPU, by batch and by how it is run; prints lines of JSON.

    python -m benchmarks.gpu_encoder vit-b-32|vit-l-14|toy [--quick]

It is a part of `benchmarks/gpu.py`. Every way runs as the encoder runs it, from pixels in memory to
features in memory, so that both copies count. Weights are random. The card's matrix product is
measured in the same process, and features are compared with what the CPU computes in float32. On a
machine without CUDA the only way is torch on the CPU.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch

from benchmarks import program
from benchmarks.decoding_alone import PREPROCESSING
from benchmarks.encoder_runtimes import VISION, Forward, Towers, pixels_of
from moderation.encoders.clip import tower_on_torch
from moderation.encoders.encoder import unit
from moderation.encoders.hardware import Hardware, choose_hardware
from moderation.encoders.options import ModelOptions

BATCHES, QUICK_BATCHES = (1, 16, 128, 256), (1, 4)
#: Of both sides of the matrices; on a CPU it would take too long.
_MATRIX, _SMALL_MATRIX = 8192, 512
_COMPARED, _SECONDS, _LEAST_ROUNDS = 16, 0.6, 5
#: What CLIPConfig has by default: ViT-B/32.
_DEFAULT = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "patch_size": 32,
}
_SIDE = PREPROCESSING.crop[0]


class Way(NamedTuple):
    """How an image tower may run, and how to build it."""

    name: str
    build: Callable[[], Forward]


def operations(shape: str) -> float:
    """Returns the multiplications and additions that one image takes, each counted."""
    sizes = {**_DEFAULT, **VISION[shape]}
    width, inner = sizes["hidden_size"], sizes["intermediate_size"]
    patches = (_SIDE // sizes["patch_size"]) ** 2
    tokens = patches + 1
    layer = 8 * tokens * width**2 + 4 * tokens * width * inner + 4 * tokens**2 * width
    first = 2 * patches * 3 * sizes["patch_size"] ** 2 * width
    return float(sizes["num_hidden_layers"] * layer + first)


def matrix_product(hardware: Hardware, rounds: int = 10) -> float:
    """Returns TFLOP/s of a product of large matrices in the number format, of random numbers."""
    on_gpu = hardware.device.type == "cuda"
    side = _MATRIX if on_gpu else _SMALL_MATRIX
    one, two = (
        torch.randn(side, side, device=hardware.device, dtype=hardware.dtype) for _ in range(2)
    )
    for _ in range(3):
        one @ two
    _finish(hardware)
    start = time.perf_counter()
    for _ in range(rounds):
        one @ two
    _finish(hardware)
    return float(2 * side**3 * rounds / (time.perf_counter() - start) / 1e12)


def _finish(hardware: Hardware) -> None:
    if hardware.device.type == "cuda":
        torch.cuda.synchronize(hardware.device)


def ways(towers: Towers, hardware: Hardware) -> Iterator[Way]:
    """Yields how the encoder can run the tower here."""
    if hardware.device.type != "cuda":
        yield Way("eager", lambda: towers.on_torch(hardware.dtype))
        return
    from moderation.encoders.cuda import CudaTower

    def tower(options: ModelOptions) -> Forward:
        return CudaTower(towers.tower(hardware.dtype), PREPROCESSING.crop, hardware, options)

    yield Way("eager", lambda: tower(ModelOptions(graphs=False)))
    yield Way("CUDA graphs", lambda: tower(ModelOptions()))
    yield Way("compiled, CUDA graphs", lambda: tower(ModelOptions(compile=True)))


def measure(shape: str, batches: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    """Yields each figure as soon as it is there."""
    hardware = choose_hardware(ModelOptions(runtime="torch"))
    product = matrix_product(hardware)
    yield {"device": _device_name(hardware), "dtype": str(hardware.dtype), "product": product}
    towers, cpu = Towers(shape, hardware.device, hardware.threads), torch.device("cpu")
    wide = tower_on_torch(towers.tower(torch.float32).to(cpu), cpu)
    reference = unit(wide(pixels_of(_COMPARED)))
    del wide
    for way in ways(towers, hardware):
        row = {"shape": shape, "way": way.name}
        start = time.perf_counter()
        forward = way.build()
        forward(pixels_of(1))
        yield row | {"start_seconds": time.perf_counter() - start}
        rows = unit(forward(pixels_of(_COMPARED)))
        yield row | {
            "largest_difference": float(abs(rows - reference).max()),
            "smallest_cosine": float((rows * reference).sum(axis=1).min()),
        }
        for batch in batches:
            seconds = _median_seconds(forward, batch)
            tflops = operations(shape) * batch / seconds / 1e12
            yield row | {
                "batch": batch,
                "milliseconds": 1000 * seconds,
                "images_per_second": batch / seconds,
                "tflops": tflops,
                "share_of_product": tflops / product,
            }
        del forward  # before the next one needs its memory


def _median_seconds(forward: Forward, batch: int) -> float:
    pixels = pixels_of(batch)
    forward(pixels)
    took: list[float] = []
    while len(took) < _LEAST_ROUNDS or sum(took) < _SECONDS:
        start = time.perf_counter()
        forward(pixels)
        took.append(time.perf_counter() - start)
    return sorted(took)[len(took) // 2]


def _device_name(hardware: Hardware) -> str:
    if hardware.device.type == "cuda":
        return str(torch.cuda.get_device_name(hardware.device))
    return str(program.machine()["cpu"])


def main() -> None:
    """Prints the figures of one shape, a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=list(VISION))
    parser.add_argument("--quick", action="store_true", help="small batches")
    asked = parser.parse_args()
    for row in measure(asked.shape, QUICK_BATCHES if asked.quick else BATCHES):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    program.run(main)
