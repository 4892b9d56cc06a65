"""Encoders: one file each, and this explicit registry from name to loader.

A model reference is `starter`, a local folder, or `hub-id[@revision]`. Adding an encoder is a file
with a class that satisfies `moderation.classifier.Encoder`, a line in `LOADERS`, and a line in the
contract test. torch is imported by the files, never here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import get_args

from moderation.classifier import Encoder
from moderation.errors import ModelError, SettingsError
from moderation.messages import ModelStamp
from moderation.settings import Settings

#: Kinds of devices that torch runs models on; a number may stand behind, as in cuda:1.
DEVICES = ("auto", "cpu", "cuda", "hpu", "meta", "mps", "mtia", "npu", "xla", "xpu")
DTYPES: tuple[str, ...] = get_args(Settings.model_fields["dtype"].annotation)
RUNTIMES: tuple[str, ...] = get_args(Settings.model_fields["runtime"].annotation)


@dataclass(frozen=True)
class LoadOptions:
    """How to load a model, whichever it is; the fields are those of `Settings`.

    Raises:
        SettingsError: there is no such device, number format or runtime, here or anywhere.
    """

    device: str = "auto"
    dtype: str = "auto"
    offline: bool = False
    runtime: str = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        kind, _, number = self.device.partition(":")
        is_numbered = number.isdecimal() and number.isascii()
        _refuse_unknown("device", self.device, DEVICES, kind if is_numbered else self.device)
        _refuse_unknown("number format", self.dtype, DTYPES, self.dtype)
        _refuse_unknown("runtime", self.runtime, RUNTIMES, self.runtime)

    @classmethod
    def of(cls, settings: Settings) -> LoadOptions:
        """Returns what an operator has set."""
        return cls(**{field.name: getattr(settings, field.name) for field in fields(cls)})


def _refuse_unknown(what: str, given: str, known: tuple[str, ...], kind: str) -> None:
    if kind not in known:
        remedy = f"Use one of: {', '.join(known)}"
        raise SettingsError(f"there is no {what} {given!r}", "model", remedy)


def _load_starter(reference: str, options: LoadOptions) -> Encoder:
    from moderation.encoders.starter import StarterEncoder

    return StarterEncoder.load(options)


def _load_clip(reference: str, options: LoadOptions) -> Encoder:
    from moderation.encoders.clip import ClipEncoder

    return ClipEncoder.load(reference, options)


LOADERS: dict[str, Callable[[str, LoadOptions], Encoder]] = {
    "starter": _load_starter,
    "clip": _load_clip,
}


def best_batch(stamp: ModelStamp) -> int:
    """Returns how many images a model should be given at once, by where it runs.

    On a CPU an image costs no less in larger batches. That of a GPU is unmeasured.
    """
    return 256 if stamp.device.startswith("cuda") else 16


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
