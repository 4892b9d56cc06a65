"""A checkpoint of CLIP ViT-B/32's shape with random weights, to measure speed with.

Its scores mean nothing; it costs as much to load and to run as a real one. Its tokenizer is made
from the words of the shipped policies. Other words fall apart into bytes, so that a text of them
has more tokens than with CLIP's own.

    python benchmarks/checkpoint.py FOLDER
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.utils import logging

from moderation.policy import load_policies, starter_policies
from moderation.scoring.classifier import expand_texts
from tests.support.toy_clip import CONTEXT, byte_vocabulary

SEED = 7
#: The published CLIP's, as a logarithm: with an untrained one, scores would be almost equal.
LOGIT_SCALE = math.log(100)
#: More than the words of the shipped policies.
VOCABULARY = 8000


def save_random_clip(folder: Path) -> Path:
    """Returns the folder, which now holds the checkpoint: 605 MB of float32 weights."""
    tokenizer = trained_tokenizer()
    # A text's feature is taken from where the end mark stands; the default mark is another model's.
    marks = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.manual_seed(SEED)
    config = CLIPConfig(text_config=marks, logit_scale_init_value=LOGIT_SCALE)
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil().save_pretrained(folder)
    return folder


def trained_tokenizer() -> Any:
    """Returns a tokenizer that has one token for a word of the shipped policies, as CLIP's has."""
    policies = load_policies(starter_policies()).values()
    texts = {text for policy in policies for each in expand_texts(policy) for text in each}
    knows_bytes: Any = CLIPTokenizer(vocab=byte_vocabulary(), merges=[], model_max_length=CONTEXT)
    return knows_bytes.train_new_from_iterator(sorted(texts), VOCABULARY, show_progress=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Writes a checkpoint with random weights.")
    parser.add_argument("folder", type=Path, help="where to write it")
    print(save_random_clip(parser.parse_args().folder))
