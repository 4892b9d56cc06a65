"""What the pages of worked examples audit: files of others, kept outside the project."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import SHARED


def _folder(*parts: str) -> Path:
    folder = SHARED.joinpath(*parts)
    if not folder.is_dir():
        pytest.skip(f"../shared/{'/'.join(parts)} is not here")
    return folder


@pytest.fixture(scope="session")
def clip_predictions() -> Path:
    """Folder of what two CLIPs said of 10,954 annotated faces."""
    return _folder("data", "predictions")


@pytest.fixture(scope="session")
def rn50_features() -> Path:
    """Folder of the features of 2,000 annotated faces, and of texts, by a CLIP."""
    return _folder("data", "clip_fairface_rn50")


@pytest.fixture(scope="session")
def published_figures() -> Path:
    """Folder of counts and shares that were published."""
    return _folder("reference")
