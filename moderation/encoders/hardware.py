"""What a model runs on: the device, the number format, the runtime, the threads."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal, NamedTuple

import torch

from moderation.encoders.cores import usable
from moderation.encoders.options import ModelOptions
from moderation.errors import ModelError

Runtime = Literal["torch", "openvino"]


class Hardware(NamedTuple):
    """What a model runs on; `runtime` is the image tower's, and texts always run on torch."""

    device: torch.device
    dtype: torch.dtype
    runtime: Runtime
    threads: int


def choose_hardware(options: ModelOptions) -> Hardware:
    """Returns what the options name, or what suits this machine where they say auto.

    Raises:
        ModelError: this machine has no such device, or the runtime cannot use what is named.
    """
    # Asking for OpenVINO means asking for the CPU.
    wants_cpu = options.device == "auto" and options.runtime == "openvino"
    device = _hardware_device("cpu" if wants_cpu else options.device)
    dtype = _hardware_dtype(options.dtype, device)
    runtime = _hardware_runtime(options.runtime, device, dtype)
    return Hardware(device, dtype, runtime, use_hardware_threads(options.threads))


def still_computes(device: str) -> bool:
    """Whether a device computes; one that failed in earnest does so only in another process."""
    try:
        torch.ones(1, device=torch.device(device)).sum().item()
    except (RuntimeError, AssertionError, NotImplementedError):
        return False
    return True


def use_hardware_threads(threads: int | None) -> int:
    """Sets and returns the number of threads that torch computes with; None takes the usable cores.

    torch counts the cores of the host, which a container's quota may not grant. A lower count, from
    OMP_NUM_THREADS, stays.
    """
    torch.set_num_threads(threads or min(torch.get_num_threads(), usable()))
    return torch.get_num_threads()


def _hardware_device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ModelError(
            f"torch cannot use it ({error})", f"device {name}", "Set MODERATION_DEVICE=auto"
        ) from error
    return device


def _hardware_dtype(name: str, device: torch.device) -> torch.dtype:
    """Returns the named dtype; auto is the narrowest that the hardware multiplies in."""
    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    if device.type == "cuda":
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if has_bfloat16 else torch.float16
    return torch.bfloat16 if device.type == "cpu" and _cpu_has_bfloat16() else torch.float32


def _cpu_has_bfloat16() -> bool:
    features = torch.cpu.get_capabilities()
    return bool(features.get("amx_bf16") or features.get("avx512_bf16"))


def _hardware_runtime(name: str, device: torch.device, dtype: torch.dtype) -> Runtime:
    """Returns the named runtime; auto is OpenVINO where it is installed and can be used."""
    if name == "torch":
        return "torch"
    what, remedy = _hardware_without_openvino(device, dtype)
    if what and name == "openvino":
        raise ModelError(what, "runtime openvino", f"{remedy}, or set MODERATION_RUNTIME=torch")
    return "torch" if what else "openvino"


def _hardware_without_openvino(device: torch.device, dtype: torch.dtype) -> tuple[str, str]:
    """Returns why this hardware cannot use OpenVINO, and what to do; nothing where it can."""
    if device.type != "cpu":
        return f"it runs models on the CPU, not on {device}", "Set MODERATION_DEVICE=cpu"
    if dtype == torch.float16:
        return "it has no float16 on the CPU", "Set MODERATION_DTYPE=auto"
    # OpenVINO would silently compute in float32; torch emulates bfloat16 instead.
    if dtype == torch.bfloat16 and not _cpu_has_bfloat16():
        return "this CPU does not multiply in bfloat16", "Set MODERATION_DTYPE=auto"
    if find_spec("openvino") is None:
        return "it is not installed", "Run `pip install 'evenhand[openvino]'`"
    return "", ""
