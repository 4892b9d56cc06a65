"""Checkpoints of CLIP's and SigLIP's real architecture at toy size, saved as transformers saves.

Weights are random, so their figures mean nothing; what is tested is that we compute the same as
transformers does with them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTokenizer,
    SiglipConfig,
    SiglipModel,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

WIDTH = 32
IMAGE_SIZE = 32
CONTEXT = 77
START, END = "<|startoftext|>", "<|endoftext|>"


def byte_vocabulary() -> dict[str, int]:
    """Returns a token for every byte, inside and at the end of a word, and the two marks."""
    symbols = list(bytes_to_unicode().values())  # type: ignore[no-untyped-call]
    tokens = [*symbols, *(f"{symbol}</w>" for symbol in symbols), START, END]
    return {token: i for i, token in enumerate(tokens)}


def save_toy_clip(folder: Path, *, siglip: bool = False, side: int = IMAGE_SIZE) -> Path:
    """Writes a checkpoint into `folder` and returns it; it sees squares of a side in 16 patches."""
    torch.manual_seed(7)
    vocabulary = byte_vocabulary()
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=CONTEXT)
    layer = {
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    text = {
        **layer,
        "vocab_size": len(vocabulary),
        "max_position_embeddings": CONTEXT,
        "bos_token_id": vocabulary[START],
        "eos_token_id": vocabulary[END],
    }
    vision = {**layer, "image_size": side, "patch_size": side // 4}
    model: Any
    processor: Any
    if siglip:
        text["projection_size"] = WIDTH
        model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
        size = {"height": side, "width": side}
        processor = SiglipImageProcessorPil(size=size)
    else:
        config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH)
        model = CLIPModel(config)
        crop = {"height": side, "width": side}
        processor = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size=crop)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
