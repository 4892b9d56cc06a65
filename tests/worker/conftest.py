"""What the tests of a worker share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from moderation.scoring.pipeline import Pipeline
from tests.support.sample_pipeline import make_pipeline


@pytest.fixture(scope="module")
def pipeline() -> Iterator[Pipeline]:
    """A pipeline with real decoders and a tiny encoder."""
    with make_pipeline(frames=1) as made:
        yield made
