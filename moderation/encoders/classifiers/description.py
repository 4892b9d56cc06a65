"""What a policy says of a classifier -> what is known of it without its file. numpy only.

Shapes: m looks at images, c numbers that the classifier gives for each.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np

from moderation.encoders.encoder import Float32s, Rows
from moderation.errors import ModelError
from moderation.images.pixels import Preprocessing
from moderation.messages import ModelStamp
from moderation.policy import LabelClassifier

#: How far a score may be outside of [0, 1]: what a softmax in float32 is off by, and more.
_ROUNDING = 1e-5


def classifier_preprocessing(classifier: LabelClassifier) -> Preprocessing:
    """Returns how a picture becomes its square; layout and order of the colours come later."""
    how = classifier.preprocessing
    return Preprocessing(how.resize, how.crop, how.resample, how.scale, how.mean, how.std)


def classifier_stamp(classifier: LabelClassifier) -> ModelStamp:
    """Returns the stamp of a classifier, from its hash: no file is needed."""
    how = classifier.preprocessing
    shaping = [classifier.sha256, classifier.output.name, how.layout, how.channels]
    return ModelStamp(
        id=classifier.file,
        revision=classifier.sha256[:16],
        fingerprint=hashlib.sha256(json.dumps(shaping).encode()).hexdigest()[:16],
        preprocessing=classifier_preprocessing(classifier).fingerprint,
        dtype="float32",
        device="cpu",
        runtime="onnxruntime",
    )


def classifier_scores(classifier: LabelClassifier, outputs: Rows) -> Float32s:
    """Returns (m,) scores in [0, 1] of (m, c) raw outputs: the label's column, activated.

    Raises:
        ModelError: there is no such column, or a number of it is not a score.
    """
    column, activation = classifier.output.column, classifier.output.activation
    if column >= outputs.shape[1]:
        what = f"it gives {outputs.shape[1]} numbers an image, so it has no column {column}"
        raise ModelError(what, classifier.file, "Count the columns of its output from 0")
    # Image by image alike, however many there are: nothing here adds up over images.
    wide = outputs.astype(np.float64)
    if activation == "softmax":
        exponentials = np.exp(wide - wide.max(axis=1, keepdims=True))
        scores = exponentials[:, column] / exponentials.sum(axis=1)
    elif activation == "sigmoid":
        small = np.exp(-np.abs(wide[:, column]))
        scores = np.where(wide[:, column] >= 0, 1 / (1 + small), small / (1 + small))
    else:
        scores = wide[:, column]
    outside = ~((scores >= -_ROUNDING) & (scores <= 1 + _ROUNDING))  # NaN is outside too
    if outside.any():
        what = f"it gives {scores[outside][0]:.6g}, and a score lies in [0, 1]"
        remedy = "Set output.activation to what makes scores of its numbers: softmax or sigmoid"
        raise ModelError(what, classifier.file, remedy)
    clipped: Float32s = np.clip(scores, 0.0, 1.0).astype(np.float32)
    return clipped
