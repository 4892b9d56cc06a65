"""How many line processes a machine gets, and what each of them has of it. Imports no torch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from moderation.encoders.cores import usable
from moderation.settings import Settings

DEVICES = Path("/dev")

#: Cores that one line process keeps busy, its decoders among them: where the encoder has a GPU, and
#: where it computes on the same cores.
_CORES_BESIDE_GPU, _CORES_WITH_ENCODER = 4, 8
#: More lines than this are for the operator to ask for.
_MOST = 16


class Share(NamedTuple):
    """How many line processes a worker has, and why, in words."""

    processes: int
    reason: str

    @property
    def described(self) -> str:
        """The processes in words."""
        if self.processes == 1:
            return "one process does all"
        return f"{self.processes} line processes and an encoder process"


def chosen_share(settings: Settings, *, cores: int | None = None, devices: Path = DEVICES) -> Share:
    """Returns how many line processes a worker with these settings has on this machine.

    Args:
        settings: with the number, or `auto`.
        cores: that this process may use; by default they are counted.
        devices: the folder where the system keeps its devices.
    """
    if settings.processes != "auto":
        return Share(settings.processes, "as set")
    cores = cores or usable()
    gpu = has_gpu(settings.device, devices)
    shown = f"{cores} core{'s' * (cores != 1)}, {'with' if gpu else 'no'} GPU"
    each = _CORES_BESIDE_GPU if gpu else _CORES_WITH_ENCODER
    return Share(min(_MOST, max(1, cores // each)), shown)


def has_gpu(device: str, devices: Path = DEVICES) -> bool:
    """Returns whether the encoder may run on a GPU: the system shows one, and the setting lets it.

    torch would know for certain, but takes seconds to load.
    """
    may_use = device == "auto" or device.startswith("cuda")
    return may_use and any(devices.glob("nvidia[0-9]*"))


def line_settings(settings: Settings, processes: int) -> Settings:
    """Returns the settings of one line process: its share of what the whole worker may have.

    Prometheus asks the supervisor.
    """
    decoders = settings.decoders or usable()
    return settings.model_copy(
        update={
            "decoders": math.ceil(decoders / processes),
            "in_hand_bytes": max(1, settings.in_hand_bytes // processes),
            "metrics_address": None,
        }
    )
