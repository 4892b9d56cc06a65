"""Sentences -> embeddings, by a BERT of few layers: its own weights, its own tokenizer, torch.

A layer of BERT is torch's `TransformerEncoderLayer`, so all that is ours is what the weights are
called. transformers, which runs them too, takes longer to import than all else that starter loads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from moderation.encoders.encoder import Float32s, unit

BATCH = 128

#: torch's name of a weight within a layer -> BERT's.
_NAMES = {
    "self_attn.out_proj": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "linear1": "intermediate.dense",
    "linear2": "output.dense",
    "norm2": "output.LayerNorm",
}


class SentenceEncoder:
    """The token states of a BERT, averaged; float32 on the CPU."""

    def __init__(self, folder: Path) -> None:
        """Loads `config.json`, `model.safetensors` and `tokenizer.json` of a folder."""
        config = json.loads((folder / "config.json").read_text())
        weights = load_file(folder / "model.safetensors")
        self._epsilon = config["layer_norm_eps"]
        self._layers = [
            _loaded_layer(weights, f"encoder.layer.{number}.", config)
            for number in range(config["num_hidden_layers"])
        ]
        self._embeddings = {
            name.removeprefix("embeddings."): weight
            for name, weight in weights.items()
            if name.startswith("embeddings.")
        }
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Returns each text's number of tokens, with start and end marks, uncut."""
        return [len(row.ids) for row in self._tokenizer.encode_batch(list(texts))]

    def embed(self, texts: Sequence[str]) -> Float32s:
        """Returns (n, d) sentence embeddings: token states averaged, scaled to unit length."""
        parts = [self._embed_batch(texts[i : i + BATCH]) for i in range(0, len(texts), BATCH)]
        return unit(np.concatenate(parts))

    def _embed_batch(self, texts: Sequence[str]) -> Float32s:
        rows = [torch.tensor(row.ids) for row in self._tokenizer.encode_batch(list(texts))]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        lengths = torch.tensor([len(row) for row in rows])
        padding = torch.arange(ids.shape[1]) >= lengths.unsqueeze(1)
        with torch.inference_mode():
            states = self._token_states(ids)
            for layer in self._layers:
                states = layer(states, src_key_padding_mask=padding)
            kept = states.masked_fill(padding.unsqueeze(-1), 0.0)
            means: Float32s = (kept.sum(dim=1) / lengths.unsqueeze(1)).numpy()
        return means

    def _token_states(self, ids: torch.Tensor) -> torch.Tensor:
        """Returns what enters the first layer: word, place and kind, summed and normalised."""
        known = self._embeddings
        places = known["position_embeddings.weight"][: ids.shape[1]]
        states = (
            known["word_embeddings.weight"][ids] + places + known["token_type_embeddings.weight"][0]
        )
        scale, shift = known["LayerNorm.weight"], known["LayerNorm.bias"]
        return torch.nn.functional.layer_norm(states, scale.shape, scale, shift, self._epsilon)


def _loaded_layer(
    weights: Mapping[str, torch.Tensor], prefix: str, config: Mapping[str, Any]
) -> torch.nn.TransformerEncoderLayer:
    """Returns a layer with the weights whose names begin with `prefix`."""
    with torch.device("meta"):  # nothing to draw, since all is replaced
        layer = torch.nn.TransformerEncoderLayer(
            config["hidden_size"],
            config["num_attention_heads"],
            config["intermediate_size"],
            activation=config["hidden_act"],
            layer_norm_eps=config["layer_norm_eps"],
            batch_first=True,
        )
    state = {}
    for kind in ("weight", "bias"):
        parts = [weights[f"{prefix}attention.self.{x}.{kind}"] for x in ("query", "key", "value")]
        state[f"self_attn.in_proj_{kind}"] = torch.cat(parts)
        for name, theirs in _NAMES.items():
            state[f"{name}.{kind}"] = weights[f"{prefix}{theirs}.{kind}"]
    layer.load_state_dict(state, assign=True)
    return layer.eval()
