"""The explicit registry of encoders, from name to loader.

A model reference is `starter`, a local folder, or `hub-id[@revision]`. Adding an encoder is a file
with a class that satisfies `moderation.encoders.encoder.Encoder`, a line in `LOADERS`, and a line
in the contract test. torch is imported by the files, never here.
"""

from __future__ import annotations

from collections.abc import Callable

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

    On a CPU an image costs no less in larger batches. That of a GPU is unmeasured.
    """
    return 256 if stamp.device.startswith("cuda") else 16


def load_encoder(reference: str, options: ModelOptions) -> Encoder:
    """Returns the encoder that a model reference names; anything but an encoder's name is CLIP's.

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
