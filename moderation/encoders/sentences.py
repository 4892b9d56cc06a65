"""Sentences -> embeddings, by a BERT of transformers whose token states are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, BertModel
from transformers.utils import logging as transformers_logging

from moderation.encoders.encoder import Float32s, unit

BATCH = 128


class SentenceEncoder:
    """The token states of a BERT, averaged; float32 on the CPU."""

    def __init__(self, folder: Path) -> None:
        """Loads the model and the tokenizer of a folder."""
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        model: Any = BertModel.from_pretrained(folder, use_safetensors=True, local_files_only=True)
        self._model = model.eval()
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Returns each text's number of tokens, with start and end marks, uncut."""
        rows = self._tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]
        return [len(row) for row in rows]

    def embed(self, texts: Sequence[str]) -> Float32s:
        """Returns (n, d) sentence embeddings: token states averaged, scaled to unit length."""
        parts = []
        for i in range(0, len(texts), BATCH):
            batch = list(texts[i : i + BATCH])
            tokens = self._tokenizer(batch, padding=True, return_tensors="pt")
            with torch.inference_mode():
                states = self._model(**tokens).last_hidden_state
            mask = tokens["attention_mask"].unsqueeze(-1).float()
            parts.append(((states * mask).sum(dim=1) / mask.sum(dim=1)).numpy())
        return unit(np.concatenate(parts))
