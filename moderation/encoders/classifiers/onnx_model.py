"""A classifier in an ONNX file, run by ONNX Runtime on the CPU: pixels -> raw outputs.

Shapes: n images, c numbers that the classifier gives for each.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from moderation.encoders.classifiers.description import classifier_preprocessing, classifier_stamp
from moderation.encoders.classifiers.refusal import ClassifierRefusal
from moderation.encoders.cores import usable
from moderation.encoders.encoder import Float32s
from moderation.images.looks import Pixels
from moderation.policy import LabelClassifier
from moderation.policy.yaml_source import Location

#: The most numbers that a classifier may give for an image: they are stored.
_MOST_OUTPUTS = 10_000


class OnnxModel:
    """A loaded classifier, without a label's choice of output; safe to use from many threads."""

    def __init__(
        self, classifier: LabelClassifier, content: bytes, threads: int | None = None
    ) -> None:
        """Loads it, and tries it on a black and a white image.

        Args:
            classifier: as a policy describes it; the column and the activation are not used.
            content: its file.
            threads: that it computes with; None takes the cores that this process may use.

        Raises:
            ClassifierRefusal: ONNX Runtime is missing, or cannot run it as it is described.
        """
        self._how = classifier.preprocessing
        self._session = _onnx_session(content, threads or usable())
        self._input, self._one_by_one = self._checked_input()
        self._output = self._checked_output(classifier.output.name)
        self.stamp = classifier_stamp(classifier)
        self.preprocessing = classifier_preprocessing(classifier)
        self.trial = self._tried()

    def image_features(self, pixels: Pixels) -> Float32s:
        """Returns (n, c) raw outputs for (n, h, w, 3) pixels."""
        values = self._values(pixels)
        parts = np.split(values, len(values)) if self._one_by_one else [values]
        rows = [self._session.run([self._output], {self._input: part})[0] for part in parts]
        joined: Float32s = np.concatenate(rows).astype(np.float32, copy=False)
        return joined.reshape(len(joined), -1)

    def _values(self, pixels: Pixels) -> Float32s:
        """Returns pixels as the classifier takes them."""
        how = self._how
        mean, std = np.array(how.mean, np.float32), np.array(how.std, np.float32)
        values = (pixels.astype(np.float32) * np.float32(how.scale) - mean) / std
        if how.channels == "bgr":
            values = values[..., ::-1]
        if how.layout == "nchw":
            values = values.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(values, np.float32)

    def _checked_input(self) -> tuple[str, bool]:
        """Returns the name of the input, and whether it takes one image at a time."""
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            names = ", ".join(each.name for each in inputs)
            what = f"it takes {len(inputs)} inputs ({names}), and an image is one"
            raise ClassifierRefusal(("file",), what, "Use a classifier of images alone")
        [one] = inputs
        if one.type != "tensor(float)":
            what = f"its input {one.name} is a {one.type}, and tensor(float) is needed"
            raise ClassifierRefusal(("file",), what, "Export it with an input of float32")
        height, width = self._how.crop
        nchw = self._how.layout == "nchw"
        given = (3, height, width) if nchw else (height, width, 3)
        if not _takes(one.shape, given):
            what = f"its input {one.name} is {one.shape}, and images would be (n, {given})"
            remedy = "Make crop and layout fit it"
            raise ClassifierRefusal(("preprocessing",), what, remedy)
        batch = one.shape[0]
        if isinstance(batch, int) and batch != 1:
            what = f"it takes exactly {batch} images at a time"
            raise ClassifierRefusal(("file",), what, "Export it for any number of images")
        return one.name, batch == 1

    def _checked_output(self, name: str | None) -> str:
        outputs = {each.name: each for each in self._session.get_outputs()}
        if name is not None and name not in outputs:
            what = f"it has no output {name}"
            remedy = f"Name one of: {', '.join(outputs)}"
            raise ClassifierRefusal(("output", "name"), what, remedy)
        taken = next(iter(outputs)) if name is None else name
        if outputs[taken].type not in ("tensor(float)", "tensor(float16)", "tensor(double)"):
            what = f"its output {taken} is a {outputs[taken].type}, and numbers are needed"
            raise ClassifierRefusal(("output", "name"), what, "Name an output of scores")
        return taken

    def _tried(self) -> Float32s:
        """Returns the (2, c) outputs of a black and a white image."""
        black = np.zeros((*self._how.crop, 3), np.uint8)
        try:
            rows = self.image_features(np.stack([black, ~black]))
        except Exception as error:  # ONNX Runtime's errors have no common class
            what = f"ONNX Runtime cannot run it: {error}"
            raise ClassifierRefusal(("file",), what, "Check what it was exported for") from error
        if len(rows) != 2 or not 1 <= rows.shape[1] <= _MOST_OUTPUTS:
            what = f"its output {self._output} is {rows.shape} for two images"
            remedy = f"Name an output of 1 to {_MOST_OUTPUTS:,} numbers for each"
            raise ClassifierRefusal(("output",), what, remedy)
        if not np.isfinite(rows).all():
            what = f"its output {self._output} is not finite for a black or a white image"
            raise ClassifierRefusal(("file",), what, "Check its weights and preprocessing")
        return rows


def _onnx_session(content: bytes, threads: int) -> Any:
    """Returns ONNX Runtime's session of a file: on the CPU, with threads that sleep when idle."""
    key: Location = ("file",)
    try:
        import onnxruntime
    except ImportError as error:
        what = f"a classifier needs ONNX Runtime, which is not installed ({error})"
        raise ClassifierRefusal((), what, "Run `pip install 'evenhand[onnx]'`") from error
    onnxruntime.disable_telemetry_events()  # its builds for Windows report to Microsoft
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors; it would print warnings of its own
    # Threads that wait by spinning would take the cores of the decoders and of CLIP.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Not its own format, which it would otherwise know by its first bytes.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common class
        what = f"ONNX Runtime cannot load it: {error}"
        raise ClassifierRefusal(
            key, what, "Check that it is whole, and of standard operators"
        ) from (error)


def _takes(shape: list[Any], given: tuple[int, int, int]) -> bool:
    """Returns whether an input takes images; where it names a size by a word, it takes any."""
    if len(shape) != 4:
        return False
    sizes = zip(shape[1:], given, strict=True)
    return all(not isinstance(side, int) or side == size for side, size in sizes)
