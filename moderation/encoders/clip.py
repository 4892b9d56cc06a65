"""CLIP and SigLIP checkpoints through transformers: safetensors only, no remote code.

In transformers 5 `get_image_features` and `get_text_features` return an object whose
`pooler_output` holds the projected features. Only this file knows that.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.image_processing_base import ImageProcessingMixin
from transformers.utils import logging as transformers_logging

from moderation.encoders.encoder import Float32s, unit
from moderation.encoders.hardware import Hardware, choose_hardware
from moderation.encoders.hub import LocalModel, locate_model, snapshot_fingerprint
from moderation.encoders.image_tower import ImageTower
from moderation.encoders.options import ModelOptions
from moderation.errors import ModelError
from moderation.images.looks import Pixels
from moderation.images.pixels import Preprocessing
from moderation.messages import ModelStamp

MODEL_TYPES = ("clip", "siglip")
TEXT_BATCH = 256

#: Pillow's numbers for resampling filters, as checkpoints store them.
_RESAMPLE = {1: "lanczos", 2: "bilinear", 3: "bicubic"}

log = logging.getLogger(__name__)


class ClipEncoder:
    """A CLIP or SigLIP model; features are float32 rows of unit length, whatever the dtype.

    The image tower runs on whatever runtime; the rest of the model is used for texts alone.
    """

    def __init__(self, reference: str, options: ModelOptions) -> None:
        """Loads the model of a folder or of a Hub id.

        Raises:
            ModelError: it cannot be found, is not CLIP or SigLIP, or does not fit the device.
        """
        local = locate_model(reference, offline=options.offline)
        if local.revision != "local" and not reference.endswith(f"@{local.revision}"):
            log.warning("%s is not pinned; write %s@%s", reference, local.name, local.revision)
        hardware = choose_hardware(options)
        try:
            self._model = _load_clip_model(local, hardware.dtype).to(hardware.device).eval()
            self._tokenizer = AutoTokenizer.from_pretrained(local.folder, local_files_only=True)
            self.preprocessing = _clip_preprocessing(local.folder)
            numbers = _clip_logit_numbers(local.folder)
            self.logit_scale = math.exp(numbers["logit_scale"])
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise ModelError(
                f"the model does not load: {error}", f"model {reference}", "Check its files"
            ) from error
        self.logit_bias = numbers.get("logit_bias")
        self.context_length = int(self._model.config.text_config.max_position_embeddings)
        self._images, runtime = _clip_image_tower(
            self._model, self.preprocessing, hardware, options
        )
        self.stamp = ModelStamp(
            id=local.name,
            revision=local.revision,
            fingerprint=snapshot_fingerprint(local.folder),
            preprocessing=self.preprocessing.fingerprint,
            dtype=str(hardware.dtype).removeprefix("torch."),
            device=str(hardware.device),
            runtime=runtime,
        )

    def image_features(self, pixels: Pixels) -> Float32s:
        """Returns (n, d) rows of unit length for (n, h, w, 3) pixels."""
        return unit(self._images(pixels))

    def text_features(self, texts: Sequence[str]) -> Float32s:
        """Returns (n, d) rows of unit length."""
        parts = [texts[i : i + TEXT_BATCH] for i in range(0, len(texts), TEXT_BATCH)]
        return np.concatenate([self._encode_texts(list(part)) for part in parts])

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Returns each text's number of tokens, with start and end marks, uncut."""
        rows = self._tokenizer(self._cased(texts), truncation=False, verbose=False)["input_ids"]
        return [len(row) for row in rows]

    def _encode_texts(self, texts: list[str]) -> Float32s:
        # SigLIP was trained on texts padded to its context; CLIP stops at the end mark.
        full = {"padding": "max_length", "max_length": self.context_length}
        padding = full if self._model.config.model_type == "siglip" else {"padding": True}
        cased = self._cased(texts)
        tokens = self._tokenizer(cased, return_tensors="pt", **padding).to(self._model.device)
        with torch.inference_mode():
            output = self._model.get_text_features(**tokens)
            rows: Float32s = output.pooler_output.float().cpu().numpy()
        return unit(rows)

    def _cased(self, texts: Sequence[str]) -> list[str]:
        """Returns the texts in the case that the model was trained on: lower case for SigLIP."""
        is_siglip = self._model.config.model_type == "siglip"
        return [text.lower() if is_siglip else text for text in texts]


def _clip_image_tower(
    model: Any, preprocessing: Preprocessing, hardware: Hardware, options: ModelOptions
) -> tuple[Callable[[Pixels], Float32s], str]:
    """Returns what runs the image tower, taken out of the model, and the runtime's name."""
    tower = ImageTower(model, preprocessing).eval()
    model.vision_model = model.visual_projection = None
    if hardware.device.type == "cuda":
        from moderation.encoders.cuda import CudaTower

        on_cuda = CudaTower(tower, preprocessing.crop, hardware, options)
        return on_cuda, on_cuda.runtime
    if options.compile:
        log.warning("MODERATION_COMPILE has no effect on %s, only on CUDA", hardware.device)
    if hardware.runtime == "torch":
        return tower_on_torch(tower, hardware.device), hardware.runtime
    from moderation.encoders.openvino import compiled_by_openvino

    images = compiled_by_openvino(tower, preprocessing.crop, hardware)
    del tower
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # only glibc has it
        # The C library would keep the memory of torch's weights.
        ctypes.CDLL(None).malloc_trim(0)
    return images, hardware.runtime


def tower_on_torch(tower: torch.nn.Module, device: torch.device) -> Callable[[Pixels], Float32s]:
    """Returns what CLIP's image tower computes on torch: from (n, h, w, 3) pixels to features."""

    def features(pixels: Pixels) -> Float32s:
        with torch.inference_mode():
            rows: Float32s = tower(torch.from_numpy(pixels).to(device)).cpu().numpy()
        return rows

    return features


def _load_clip_model(local: LocalModel, dtype: torch.dtype) -> Any:
    config = AutoConfig.from_pretrained(local.folder, local_files_only=True)
    if config.model_type not in MODEL_TYPES:
        raise ModelError(
            f"the model is of type {config.model_type}, not one of {', '.join(MODEL_TYPES)}",
            f"model {local.name}",
            "Name a CLIP or SigLIP checkpoint",
        )
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    return AutoModel.from_pretrained(
        local.folder,
        config=config,
        dtype=dtype,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
    )


def _clip_logit_numbers(folder: Path) -> dict[str, float]:
    """Returns `logit_scale` (a logarithm) and `logit_bias` as they are stored.

    Loading a model in bfloat16 rounds them: a scale of 100 became 98.9.
    """
    numbers = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in {"logit_scale", "logit_bias"} & set(file.keys()):
                numbers[name] = float(file.get_tensor(name).float())
    return numbers


def _clip_preprocessing(folder: Path) -> Preprocessing:
    """Returns the checkpoint's preprocessing; old checkpoints give sizes as bare numbers.

    Raises:
        ValueError: its steps are not those that are supported: resize, crop, rescale, normalise.
    """
    given, _ = ImageProcessingMixin.get_image_processor_dict(folder, local_files_only=True)
    given = given.get("image_processor", given)
    needed = ("do_resize", "do_rescale", "do_normalize")
    if given.get("do_pad") or not all(given.get(step, True) for step in needed):
        raise ValueError("preprocessor_config.json asks for steps that are not supported")
    size = given.get("size", 224)
    resize = crop = _clip_image_size(size)
    if given.get("do_center_crop", isinstance(resize, int)):
        crop = _clip_image_size(given.get("crop_size", size))
    return Preprocessing(
        resize=resize,
        crop=crop if isinstance(crop, tuple) else (crop, crop),
        resample=_RESAMPLE[given.get("resample", 3)],  # type: ignore[arg-type]
        scale=float(given.get("rescale_factor", 1 / 255)),
        mean=tuple(given["image_mean"]),
        std=tuple(given["image_std"]),
    )


def _clip_image_size(given: int | dict[str, int]) -> int | tuple[int, int]:
    if isinstance(given, int):
        return given
    if "shortest_edge" in given:
        return given["shortest_edge"]
    return given["height"], given["width"]
