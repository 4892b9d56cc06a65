"""How a model is loaded, whichever it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from moderation.errors import SettingsError
from moderation.settings import Settings

#: Kinds of devices that torch runs models on; a number may follow, as in cuda:1.
DEVICES = ("auto", "cpu", "cuda", "hpu", "meta", "mps", "mtia", "npu", "xla", "xpu")
DTYPES: tuple[str, ...] = get_args(Settings.model_fields["dtype"].annotation)
RUNTIMES: tuple[str, ...] = get_args(Settings.model_fields["runtime"].annotation)


@dataclass(frozen=True)
class ModelOptions:
    """How to load a model, whichever it is, as `Settings` have it.

    `graphs` and `compile` are for image towers on CUDA: whether forwards become CUDA graphs, and
    whether torch compiles them first.

    Raises:
        SettingsError: there is no such device, number format or runtime, here or anywhere.
    """

    device: str = "auto"
    dtype: str = "auto"
    offline: bool = False
    runtime: str = "auto"
    threads: int | None = None
    graphs: bool = True
    compile: bool = False

    def __post_init__(self) -> None:
        kind, _, number = self.device.partition(":")
        is_numbered = number.isdecimal() and number.isascii()
        _refuse_model_option("device", self.device, DEVICES, kind if is_numbered else self.device)
        _refuse_model_option("number format", self.dtype, DTYPES, self.dtype)
        _refuse_model_option("runtime", self.runtime, RUNTIMES, self.runtime)

    @classmethod
    def of(cls, settings: Settings) -> ModelOptions:
        """Returns what an operator has set."""
        return cls(
            settings.device,
            settings.dtype,
            settings.offline,
            settings.runtime,
            settings.threads,
            settings.cuda_graphs,
            settings.compile,
        )


def _refuse_model_option(what: str, given: str, known: tuple[str, ...], kind: str) -> None:
    if kind not in known:
        remedy = f"Use one of: {', '.join(known)}"
        raise SettingsError(f"there is no {what} {given!r}", "model", remedy)
