"""Model references -> local folders: the Hub's cache, the Hub, or a folder as it is.

Imports huggingface_hub, never torch.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from moderation.errors import ModelError

#: Which files of a repository are fetched: weights that cannot run code, and plain text.
PATTERNS = ["*.safetensors", "*.json", "*.txt", "*.model"]
_TIMEOUT_SECONDS = 10.0


class LocalModel(NamedTuple):
    """A model's files, of the Hub or a folder; `revision` is a commit, or `local` for a folder."""

    name: str
    revision: str
    folder: Path


def locate_model(reference: str, *, offline: bool) -> LocalModel:
    """Returns the local files of a model; those that are missing are fetched from the Hub.

    Raises:
        ModelError: they cannot be had; names the three ways out.
    """
    folder = Path(reference).expanduser()
    if folder.is_dir():
        return LocalModel(str(folder), "local", folder)
    if reference.startswith((".", "/", "~")):
        raise _hub_model_unavailable("there is no such folder", reference)
    name, _, revision = reference.partition("@")
    try:
        local = _hub_snapshot(name, revision or None, local_files_only=True)
        if offline or _is_whole_snapshot(local.folder):
            return local
    except LocalEntryNotFoundError as error:
        if offline:
            what = "the model is not in the local cache, and offline the Hub is not asked"
            raise _hub_model_unavailable(what, reference) from error
    except HFValidationError as error:
        raise _hub_model_unavailable("this is neither a folder nor a Hub id", reference) from error
    return _fetch_from_hub(name, revision or None, reference)


def _fetch_from_hub(name: str, revision: str | None, reference: str) -> LocalModel:
    """Asks the Hub once what it has, then downloads; a Hub that is down costs only seconds."""
    try:
        info = HfApi().model_info(name, revision=revision, timeout=_TIMEOUT_SECONDS)
        if not any(file.rfilename.endswith(".safetensors") for file in info.siblings or ()):
            what = "this revision has no *.safetensors weights, and no others are loaded"
            raise _hub_model_unavailable(what, reference)
        return _hub_snapshot(name, info.sha, local_files_only=False)
    except (RepositoryNotFoundError, GatedRepoError) as error:
        raise _hub_model_unavailable(
            "the Hub has no such model, or it is gated", reference
        ) from error
    except RevisionNotFoundError as error:
        raise _hub_model_unavailable("the Hub has no such revision of it", reference) from error
    except ModelError:
        raise
    except Exception as error:  # the Hub's client passes on the errors of its transport
        first_line = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise _hub_model_unavailable(
            f"the Hub does not answer ({first_line})", reference
        ) from error


def _hub_snapshot(name: str, revision: str | None, **options: Any) -> LocalModel:
    folder = Path(snapshot_download(name, revision=revision, allow_patterns=PATTERNS, **options))
    return LocalModel(name, folder.name, folder)


def _is_whole_snapshot(folder: Path) -> bool:
    """Whether a snapshot has all that a model needs; an interrupted download has part of it."""
    names = {path.name for path in folder.iterdir() if path.exists()}
    index = folder / "model.safetensors.index.json"
    shards = set(json.loads(index.read_text())["weight_map"].values()) if index.exists() else set()
    weights = shards <= names if shards else any(name.endswith(".safetensors") for name in names)
    processor = {"preprocessor_config.json", "processor_config.json"} & names
    return weights and bool(processor) and "config.json" in names


def _hub_model_unavailable(what: str, reference: str) -> ModelError:
    hub_id = reference if "/" in reference and not reference.startswith((".", "/", "~")) else "ID"
    return ModelError(
        what,
        f"model {reference}",
        f"Three ways out: run `moderation model pull {hub_id}` where the Hub can be reached, "
        "name a local folder that holds a checkpoint, or name starter to try things out",
    )


def snapshot_fingerprint(folder: Path) -> str:
    """Returns a hash of a snapshot's weights and the texts that shape them; 16 hex digits."""
    digest = hashlib.sha256()
    texts = ("config.json", "tokenizer.json", "vocab.json", "merges.txt", "*.model")
    names = ("*.safetensors", *texts)
    for path in sorted({path for name in names for path in folder.glob(name)}):
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
