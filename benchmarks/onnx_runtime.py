"""An image tower on ONNX Runtime, which is not a dependency and is measured where installed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic

from moderation.encoders.encoder import Float32s
from moderation.encoders.image_tower import ImageTower
from moderation.images.looks import Pixels


def on_onnxruntime(
    tower: ImageTower, example: Pixels, *, threads: int, int8: bool
) -> Callable[[Pixels], Float32s]:
    """Returns the tower on ONNX Runtime; int8 rounds weights by channel, and values as they come.

    Args:
        tower: on the CPU.
        example: (n, h, w, 3) pixels of the size that it takes.
        threads: of one forward.
        int8: whether to round.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as folder:
        path = _exported_onnx(tower, example, Path(folder), int8=int8)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def forward(pixels: Pixels) -> Float32s:
        rows: Float32s = session.run(None, {"pixels": pixels})[0]
        return rows

    return forward


def _exported_onnx(tower: ImageTower, pixels: Pixels, folder: Path, *, int8: bool) -> Path:
    """Returns the ONNX file of a tower."""
    path = folder / "tower.onnx"
    torch.onnx.export(
        tower,
        (torch.from_numpy(pixels),),
        path,
        input_names=["pixels"],
        output_names=["features"],
        dynamic_axes={"pixels": {0: "n"}, "features": {0: "n"}},
        dynamo=False,
    )
    if not int8:
        return path
    rounded = folder / "int8.onnx"
    # ONNX Runtime has no int8 convolution that rounds values as they come.
    quantize_dynamic(
        path,
        rounded,
        weight_type=QuantType.QInt8,
        per_channel=True,
        op_types_to_quantize=["MatMul", "Gemm"],
    )
    return rounded
