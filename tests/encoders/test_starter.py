"""What the starter has embedded beforehand, computed again."""

from __future__ import annotations

import numpy as np
import pytest

from moderation.encoders.starter import CLASS_EMBEDDINGS, embed_classes


@pytest.mark.slow
def test_the_embeddings_of_the_class_names_are_those_that_the_package_has() -> None:
    assert np.load(CLASS_EMBEDDINGS) == pytest.approx(embed_classes(), abs=1e-6)
