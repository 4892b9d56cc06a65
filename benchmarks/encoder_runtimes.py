"""What an image costs on each runtime, what starting it costs, and how far its features move.

    python benchmarks/encoder_runtimes.py [--shape vit-b-32] [--json FILE] [--quick]

The towers have a real CLIP's shape and random weights: their speed is a real one's, and so is how a
number format rounds, but what that does to a decision cannot be seen here. All runtimes take turns,
so that what else the machine does hits each alike. torch and OpenVINO run as the encoder runs them.
ONNX Runtime is not a dependency; it is measured where it is installed.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from transformers import CLIPConfig, CLIPModel

from benchmarks import program
from benchmarks.decoding_alone import PREPROCESSING, SIDE
from moderation.encoders.clip import tower_on_torch
from moderation.encoders.encoder import Float32s, unit
from moderation.encoders.hardware import Hardware, choose_hardware, use_hardware_threads
from moderation.encoders.image_tower import ImageTower
from moderation.encoders.options import ModelOptions
from moderation.images.looks import Pixels

VISION = {
    "vit-b-32": {},
    "vit-l-14": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "patch_size": 14,
    },
    "toy": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "patch_size": 56,
    },
}
WIDTH = {"vit-b-32": 512, "vit-l-14": 768, "toy": 32}
#: Small, since texts are not measured.
TEXT = {"num_hidden_layers": 1, "vocab_size": 100, "bos_token_id": 0, "eos_token_id": 1}
ALL_BATCHES, QUICK_BATCHES = (1, 8, 16, 32), (1, 16)
Forward = Callable[[Pixels], Float32s]


class Case(NamedTuple):
    """One row of the table: how to build it, and whether a quick run leaves it out."""

    name: str
    build: Callable[[], Forward]
    slow: bool = False


@dataclass
class Result:
    """What was measured of a case; milliseconds an image by batch size."""

    name: str
    problem: str = ""
    start_seconds: float = 0.0
    milliseconds: dict[int, float] = field(default_factory=dict)
    largest_difference: float = 0.0
    smallest_cosine: float = 1.0


class Towers:
    """Image towers of one random model, in any number format."""

    def __init__(self, shape: str, device: torch.device, threads: int) -> None:
        torch.manual_seed(7)
        config = CLIPConfig(
            vision_config=VISION[shape], text_config=TEXT, projection_dim=WIDTH[shape]
        )
        self._model = CLIPModel(config).eval()  # type: ignore[no-untyped-call]
        self._device, self._threads = device, threads

    def tower(self, dtype: torch.dtype = torch.float32) -> ImageTower:
        """Returns a tower of its own, with its weights in a number format."""
        model: Any = copy.deepcopy(self._model).to(device=self._device, dtype=dtype)
        return ImageTower(model, PREPROCESSING).eval()

    def on_torch(self, dtype: torch.dtype) -> Forward:
        """Returns it on torch."""
        return tower_on_torch(self.tower(dtype), self._device)

    def compiled_by_torch(self, dtype: torch.dtype) -> Forward:
        """Returns it compiled by torch.compile for any number of images."""
        tower = self.tower(dtype)
        tower.compile(dynamic=True)
        forward = tower_on_torch(tower, self._device)
        for count in (8, 1):  # a single image is compiled separately
            forward(pixels_of(count))
        return forward

    def on_openvino(self, dtype: torch.dtype) -> Forward:
        """Returns it on OpenVINO."""
        from moderation.encoders.openvino import compiled_by_openvino

        hardware = Hardware(self._device, dtype, "openvino", self._threads)
        return compiled_by_openvino(self.tower(dtype), PREPROCESSING.crop, hardware)

    def on_onnxruntime(self, dtype: torch.dtype, *, int8: bool = False) -> Forward:
        """Returns it on ONNX Runtime; int8 rounds weights by channel, and values as they come."""
        from benchmarks.onnx_runtime import on_onnxruntime

        return on_onnxruntime(self.tower(dtype), pixels_of(2), threads=self._threads, int8=int8)


def cases(towers: Towers, device: torch.device) -> list[Case]:
    """Returns what is measured; features are compared with those of the first."""
    wide, narrow = torch.float32, torch.bfloat16
    found = [
        Case("torch float32", lambda: towers.on_torch(wide)),
        Case("torch bfloat16", lambda: towers.on_torch(narrow)),
        Case("torch.compile bfloat16", lambda: towers.compiled_by_torch(narrow), slow=True),
    ]
    if device.type != "cpu":
        return [*found, Case("torch float16", lambda: towers.on_torch(torch.float16))]
    return [
        *found,
        Case("OpenVINO float32", lambda: towers.on_openvino(wide)),
        Case("OpenVINO bfloat16", lambda: towers.on_openvino(narrow)),
        Case("ONNX Runtime float32", lambda: towers.on_onnxruntime(wide), slow=True),
        Case("ONNX Runtime bfloat16", lambda: towers.on_onnxruntime(narrow), slow=True),
        Case("ONNX Runtime int8", lambda: towers.on_onnxruntime(wide, int8=True), slow=True),
    ]


def measure(
    found: list[Case], batches: tuple[int, ...], rounds: int, say: Callable[[str], None]
) -> list[Result]:
    """Returns a result for each case; all of them take turns, `rounds` times."""
    results = [Result(case.name) for case in found]
    running: list[tuple[Result, Forward]] = []
    for case, result in zip(found, results, strict=True):
        say(f"starting {case.name}")
        start = time.perf_counter()
        try:
            forward = case.build()
            forward(pixels_of(1))
        except ImportError:
            result.problem = "not installed"
            continue
        except Exception as error:  # each runtime has its own way to refuse a number format
            result.problem = f"fails: {str(error).strip().splitlines()[0][:100]}"
            continue
        result.start_seconds = time.perf_counter() - start
        running.append((result, forward))
    _compare_features(running)
    for batch in batches:
        say(f"batches of {batch}")
        _time_in_turns(running, pixels_of(batch), rounds)
    return results


def _compare_features(running: list[tuple[Result, Forward]]) -> None:
    """Fills in how far each one's features are from those of the first."""
    pixels = pixels_of(16)
    reference = unit(running[0][1](pixels))
    for result, forward in running:
        rows = unit(forward(pixels))
        result.largest_difference = float(abs(rows - reference).max())
        result.smallest_cosine = float((rows * reference).sum(axis=1).min())


def _time_in_turns(running: list[tuple[Result, Forward]], pixels: Pixels, rounds: int) -> None:
    seconds: dict[str, list[float]] = {result.name: [] for result, _ in running}
    for _result, forward in running:
        forward(pixels)  # some prepare themselves for each new size
    for _ in range(rounds):
        for result, forward in running:
            start = time.perf_counter()
            forward(pixels)
            seconds[result.name].append(time.perf_counter() - start)
    for result, _ in running:
        typical = statistics.median(seconds[result.name])
        result.milliseconds[len(pixels)] = 1000 * typical / len(pixels)


def pixels_of(count: int) -> Pixels:
    """Returns random pixels of so many images."""
    return np.random.default_rng(count).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


def setup(shape: str, hardware: Hardware) -> dict[str, str]:
    """Returns what the figures hold for."""
    machine = program.machine()
    gpu = torch.cuda.get_device_name(hardware.device) if hardware.device.type == "cuda" else "none"
    packages = program.versions("torch", "transformers", "openvino", "onnxruntime")
    listed = [f"{name} {number}" for name, number in packages.items()]
    return {
        "shape": f"{shape}, random weights",
        "CPU": f"{machine['cpu']}, {hardware.threads} threads",
        "GPU": gpu,
        "versions": ", ".join([f"Python {machine['python']}", *listed]),
    }


def show(console: Console, facts: dict[str, str], results: list[Result]) -> None:
    """Prints the setup and the table; gain is over torch bfloat16 in the same batch."""
    for name, text in facts.items():
        console.print(f"{name}: {text}", highlight=False)
    base = next(result.milliseconds for result in results if result.name == "torch bfloat16")
    heads = ["runtime", "start s", *(f"ms, batch {batch}" for batch in base)]
    table = program.new_table([*heads, "gain", "largest difference", "smallest cosine"], ())
    for result in results:
        if result.problem:
            table.add_row(result.name, result.problem)
            continue
        last = max(batch for batch in base if batch <= 16)
        table.add_row(
            result.name,
            f"{result.start_seconds:.1f}",
            *(f"{milliseconds:.1f}" for milliseconds in result.milliseconds.values()),
            f"{base[last] / result.milliseconds[last]:.2f}x",
            f"{result.largest_difference:.2g}",
            f"{result.smallest_cosine:.5f}",
        )
    console.print(table)


def main() -> None:
    """Measures what the command line asks for."""
    parser = program.new_parser(__doc__, quick="without what starts slowly")
    parser.add_argument("--shape", choices=list(VISION), default="vit-b-32")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda")
    parser.add_argument("--threads", type=int, help="one a core by default")
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    console = Console()
    options = ModelOptions(device=asked.device, threads=asked.threads)
    hardware = choose_hardware(options)
    towers = Towers(asked.shape, hardware.device, use_hardware_threads(asked.threads))
    found = cases(towers, hardware.device)
    if asked.quick:
        found = [case for case in found if not case.slow]
    batches = QUICK_BATCHES if asked.quick else ALL_BATCHES
    with console.status("") as status:
        results = measure(found, batches, asked.rounds, status.update)
    facts = setup(asked.shape, hardware)
    show(console, facts, results)
    figures = [asdict(result) for result in results]
    program.write_json(asked.json, {"setup": facts, "results": figures})


if __name__ == "__main__":
    program.run(main)
