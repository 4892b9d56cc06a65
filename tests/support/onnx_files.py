"""Small ONNX classifiers, made here, and policies that name them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from moderation.policy import LabelClassifier

SIDE = 8


def mean_colours(
    *,
    batch: int | str = "n",
    shape: tuple[int, ...] = (3, SIDE, SIDE),
    kind: int = TensorProto.FLOAT,
    weights: Any = None,
    bias: Any = (0.0, 0.0, 0.0),
) -> onnx.ModelProto:
    """Returns a classifier of (n, 3, h, w) pixels: their mean colours, times weights, plus a bias.

    Its first output, `colours`, is that; its second, `shares`, is the softmax of it.
    """
    matrix = np.eye(3) if weights is None else np.array(weights)
    nodes = [
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["colours"]),
        helper.make_node("Softmax", ["colours"], ["shares"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "mean colours",
        [helper.make_tensor_value_info("pixels", kind, [batch, *shape])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, matrix.shape[1]])
            for name in ("colours", "shares")
        ],
        [
            numpy_helper.from_array(np.array([2, 3]), "axes"),
            numpy_helper.from_array(matrix.astype(np.float32), "weights"),
            numpy_helper.from_array(np.array(bias, np.float32), "bias"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def write_onnx(model: onnx.ModelProto, path: Path) -> str:
    """Writes a classifier as one file, and returns its hash."""
    content = model.SerializeToString()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def described(sha256: str, file: str = "colours.onnx", **changes: Any) -> LabelClassifier:
    """Returns what a policy says of the classifier above: `output` and `preprocessing` changed."""
    output = {"column": 0, **changes.pop("output", {})}
    preprocessing = {"resize": SIDE, "crop": (SIDE, SIDE), **changes.pop("preprocessing", {})}
    return LabelClassifier.model_validate(
        {"file": file, "sha256": sha256, "output": output, "preprocessing": preprocessing}
    )


def classified_policy(*classifiers: LabelClassifier, **changes: Any) -> bytes:
    """Returns the file of a policy with two labels of prompts, and one for each classifier."""
    labels = [
        {"id": "loud", "prompts": ["loud"], "action": "block", "threshold": 0.999},
        {"id": "quiet", "prompts": ["quiet"]},
    ]
    for number, each in enumerate(classifiers):
        label = {"id": f"seen-{number}", "category": "seen", "action": "block", "threshold": 0.6}
        labels.append({**label, "classifier": each.model_dump(mode="json", exclude_none=True)})
    import yaml

    content = {"schema_version": 1, "id": "mixed", "version": 1, "title": "Mixed"}
    return yaml.safe_dump(
        {**content, "scoring": "contrast", "labels": labels, **changes}, sort_keys=False
    ).encode()
