"""Encoders: one file each, and this explicit registry from name to loader.

A model reference is `starter`, a local folder, or `hub-id[@revision]`. Adding an encoder is a file
with a class that satisfies `moderation.classifier.Encoder`, a line in `LOADERS`, and a line in the
contract test. torch is imported by the files, never here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from moderation.classifier import Encoder
from moderation.errors import ModelError


class LoadOptions(NamedTuple):
    """How to load a model, whichever it is."""

    device: str = "auto"
    dtype: str = "auto"
    offline: bool = False


def _load_starter(reference: str, options: LoadOptions) -> Encoder:
    from moderation.encoders.starter import StarterEncoder

    return StarterEncoder.load()


def _load_clip(reference: str, options: LoadOptions) -> Encoder:
    from moderation.encoders.clip import ClipEncoder

    return ClipEncoder.load(reference, options)


LOADERS: dict[str, Callable[[str, LoadOptions], Encoder]] = {
    "starter": _load_starter,
    "clip": _load_clip,
}


def load_encoder(reference: str, options: LoadOptions) -> Encoder:
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
