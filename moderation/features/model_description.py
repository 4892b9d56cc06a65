"""What is known of a model without loading it, stored beside its features."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from moderation.encoders.encoder import Encoder
from moderation.encoders.options import ModelOptions
from moderation.encoders.registry import model_files
from moderation.features.space import FeatureSpace
from moderation.features.store_files import remove_stray_files, written_store_file
from moderation.images.looks import DEFAULT_LOOKING
from moderation.images.pixels import Preprocessing
from moderation.messages import ModelStamp

#: Packages that can change what a model computes.
_PACKAGES = ("evenhand", "torch", "transformers", "openvino")

#: What a description says of an encoder, by the encoder's own names.
_OF_ENCODER = ("stamp", "preprocessing", "context_length", "logit_scale", "logit_bias")


class ModelDescription(BaseModel):
    """What a model is; it holds as long as its files and the packages that run it do not change.

    Attributes:
        reference: the name by which it was loaded.
        files: size in bytes and time of the last change in ns, by path.
        versions: of the packages that run it.
        token_counts: by text, of the texts that were counted so far.
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
            files=_model_file_states(reference),
            versions=_described_versions(),
            token_counts={},
            **{name: getattr(encoder, name) for name in _OF_ENCODER},
        )

    @property
    def holds(self) -> bool:
        """Whether its files are on this machine, and neither they nor the packages have changed."""
        return (
            bool(self.files)
            and self.files == _model_file_states(self.reference)
            and self.versions == _described_versions()
        )

    def describes(self, encoder: Encoder) -> bool:
        """Returns whether a loaded encoder is the one described, in every number."""
        return all(getattr(self, name) == getattr(encoder, name) for name in _OF_ENCODER)


def description_path(root: Path, reference: str, options: ModelOptions) -> Path:
    """Returns the path of the description of a model in a store."""
    name = "\n".join((reference, options.device, options.dtype, options.runtime))
    return root / "models" / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"


def read_description(path: Path, reference: str) -> ModelDescription | None:
    """Returns the description of a model in a file, or None where it cannot be trusted.

    It cannot where it is not as it was written, is of another model, or contradicts itself; the
    model is then described again. Whatever killed writers of this file left behind is removed.
    """
    remove_stray_files(path.parent, path.stem)
    try:
        content = json.loads(path.read_bytes())
        if content.pop("sha256") != _description_digest(content):
            return None
        description = _parsed_description(content)
        # Otherwise its features could be anywhere.
        FeatureSpace.of_images(description.stamp, DEFAULT_LOOKING)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None  # a ValidationError is a ValueError, as is a JSONDecodeError
    as_stamped = description.preprocessing.fingerprint == description.stamp.preprocessing
    return description if as_stamped and description.reference == reference else None


def described_names(path: Path) -> tuple[str, str, str] | None:
    """Returns the id, revision and fingerprint that a description states; None if it does not."""
    try:
        stamp = json.loads(path.read_bytes())["stamp"]
        return str(stamp["id"]), str(stamp["revision"]), str(stamp["fingerprint"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def write_description(path: Path, description: ModelDescription) -> None:
    """Writes a description with its hash, whole or not at all.

    Raises:
        StoreError: it cannot be written.
    """
    content = description.model_dump(mode="json", exclude={"preprocessing"})
    content["preprocessing"] = asdict(description.preprocessing)
    text = json.dumps({**content, "sha256": _description_digest(content)}, indent=1)
    with written_store_file(path, "descriptions of models") as file:
        file.write(text.encode())


def _description_digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _parsed_description(content: dict[str, Any]) -> ModelDescription:
    """Returns the description in a file's content.

    Whole numbers of its preprocessing stay whole, where pydantic would turn 1 into 1.0, since the
    fingerprint is of the numbers as the checkpoint has them.
    """
    described = ModelDescription.model_validate(content)
    pairs = content["preprocessing"].items()
    given: dict[str, Any] = {
        name: tuple(each) if isinstance(each, list) else each for name, each in pairs
    }
    return described.model_copy(update={"preprocessing": Preprocessing(**given)})


def _model_file_states(reference: str) -> dict[str, tuple[int, int]]:
    states = {str(path): path.stat() for path in model_files(reference)}
    return {path: (state.st_size, state.st_mtime_ns) for path, state in states.items()}


def _described_versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found
