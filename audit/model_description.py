"""What is known of a model without loading it, kept beside its features."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from moderation.classifier import Encoder
from moderation.encoders import LoadOptions
from moderation.encoders.files import model_files
from moderation.image import Preprocessing
from moderation.messages import ModelStamp

#: Packages that can change what a model computes.
_PACKAGES = ("evenhand", "torch", "transformers")


class ModelDescription(BaseModel):
    """What a model is; true for as long as its files and the packages that run it stay.

    Attributes:
        reference: the name by which it was loaded.
        files: size in bytes and time of change in ns, by path.
        versions: of the packages that run it.
        token_counts: of the texts that were counted so far.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference: str
    files: dict[str, tuple[int, int]]
    versions: dict[str, str]
    stamp: ModelStamp
    preprocessing: Preprocessing
    context_length: int
    logit_scale: float
    logit_bias: float | None
    token_counts: dict[str, int]

    @classmethod
    def of(cls, reference: str, encoder: Encoder) -> ModelDescription:
        """Returns the description of a loaded encoder."""
        return cls(
            reference=reference,
            files=_file_states(reference),
            versions=_versions(),
            stamp=encoder.stamp,
            preprocessing=encoder.preprocessing,
            context_length=encoder.context_length,
            logit_scale=encoder.logit_scale,
            logit_bias=encoder.logit_bias,
            token_counts={},
        )

    @property
    def holds(self) -> bool:
        """Whether its files are on this machine, and neither they nor the packages changed."""
        return (
            bool(self.files)
            and self.files == _file_states(self.reference)
            and self.versions == _versions()
        )


def description_path(root: Path, reference: str, options: LoadOptions) -> Path:
    """Returns where the description of a model lies in a store."""
    name = "\n".join((reference, options.device, options.dtype))
    return root / "models" / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"


def read_description(path: Path) -> ModelDescription | None:
    """Returns the description in a file; None where there is none that can be read."""
    try:
        return ModelDescription.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def write_description(path: Path, description: ModelDescription) -> None:
    """Writes a description, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(description.model_dump_json(indent=1))
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _file_states(reference: str) -> dict[str, tuple[int, int]]:
    states = {str(path): path.stat() for path in model_files(reference)}
    return {path: (state.st_size, state.st_mtime_ns) for path, state in states.items()}


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found
