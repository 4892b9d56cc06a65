"""The image tower of a model, compiled by OpenVINO for the CPU: the same features, sooner.

The number format is OpenVINO's precision hint, so bfloat16 is used where torch would use it.
"""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from moderation.encoders.encoder import Float32s
from moderation.encoders.hardware import Hardware
from moderation.errors import ModelError
from moderation.images.looks import Pixels

_PRECISIONS = {torch.bfloat16: "bf16", torch.float32: "f32"}


def compiled_by_openvino(
    tower: torch.nn.Module, size: tuple[int, int], hardware: Hardware
) -> Callable[[Pixels], Float32s]:
    """Returns what a tower computes, compiled: from (n, h, w, 3) pixels to (n, d) features.

    It no longer needs the tower, and threads that call it take turns.

    Args:
        tower: the module to compile; from (n, h, w, 3) uint8 to (n, d) float32.
        size: (h, w).
        hardware: says the number format and the threads.

    Raises:
        ModelError: OpenVINO cannot compile it, or not to that number format.
    """
    precision = _PRECISIONS[hardware.dtype]
    options = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": hardware.threads,
        "NUM_STREAMS": 1,
        # Threads bound to cores could not make way for the decoders or a second worker.
        "ENABLE_CPU_PINNING": False,
    }
    try:
        openvino = _openvino()
        model = openvino.Core().compile_model(
            _openvino_graph(openvino, tower, size), "CPU", options
        )
        taken = model.get_property("INFERENCE_PRECISION_HINT").to_string()
    except Exception as error:  # OpenVINO's errors have no common class
        raise _openvino_unusable(f"OpenVINO cannot compile the model: {error}") from error
    if taken != precision:
        raise _openvino_unusable(f"OpenVINO would compute in {taken} instead of {precision}")
    lock = threading.Lock()  # a compiled model holds the state of one call

    def features(pixels: Pixels) -> Float32s:
        with lock:
            rows: Float32s = model(pixels)[0]
        return rows

    return features


def _openvino() -> Any:
    """Returns OpenVINO, imported so that it sends nothing.

    It reports its use to Google Analytics when it is imported and when it converts, unless a file
    in the user's home forbids that. Without its telemetry package it uses a stub of its own.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _openvino_graph(openvino: Any, tower: torch.nn.Module, size: tuple[int, int]) -> Any:
    """Returns OpenVINO's graph of a tower, for any number of images."""
    example = torch.zeros((2, *size, 3), dtype=torch.uint8)
    with torch.no_grad(), _quiet_openvino_tracing():
        # OpenVINO 2026.4 does not keep shared bfloat16 weights alive: it crashes once torch's go.
        graph = openvino.convert_model(tower, example_input=example, share_weights=False)
    graph.reshape([-1, *size, 3])
    return graph


@contextmanager
def _quiet_openvino_tracing() -> Iterator[None]:
    """Hides the warnings of tracing a model.

    Tracing reads every attribute, so transformers warns of outdated ones; and it warns that each
    size becomes a constant, as all may except the number of images. Tracing that fails leaves the
    root logger at ERROR, which would silence the whole process.
    """
    log, root = logging.getLogger("transformers"), logging.getLogger()
    level, root_level = log.level, root.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
        root.setLevel(root_level)


def _openvino_unusable(what: str) -> ModelError:
    return ModelError(what, "runtime openvino", "Set MODERATION_RUNTIME=torch")
