"""A checkpoint of CLIP ViT-B/32's shape with random weights, to measure speed with.

Its scores mean nothing; what it costs to load and to run is what a real one costs. Its tokenizer is
made from the words of the shipped policies; other words fall into bytes, so that a text of them has
more tokens than with CLIP's own.

    python benchmarks/checkpoint.py FOLDER
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.utils import logging

from moderation.policy import load_policies, shipped_policies
from moderation.scoring.classifier import expand_prompts

SEED, CONTEXT = 7, 77
#: The published CLIP's, as a logarithm: untrained, scores would be almost equal.
LOGIT_SCALE = math.log(100)
#: More than the shipped policies have words.
VOCABULARY = 8000
START, END = "<|startoftext|>", "<|endoftext|>"


def save_random_clip(folder: Path) -> Path:
    """Returns the folder, which now holds the checkpoint: 605 MB of float32 weights."""
    tokenizer = trained_tokenizer()
    # The end mark's place is where a text's feature is taken from; the default is another's.
    marks = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.manual_seed(SEED)
    config = CLIPConfig(text_config=marks, logit_scale_init_value=LOGIT_SCALE)
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessorPil().save_pretrained(folder)
    return folder


def trained_tokenizer() -> Any:
    """Returns a tokenizer to which a word of the shipped policies is one token, as to CLIP's."""
    policies = load_policies([shipped_policies()]).values()
    texts = {
        text
        for policy in policies
        for label in policy.labels
        for text in expand_prompts(policy, label)
    }
    knows_bytes: Any = CLIPTokenizer(vocab=byte_vocabulary(), merges=[], model_max_length=CONTEXT)
    return knows_bytes.train_new_from_iterator(sorted(texts), VOCABULARY, show_progress=False)


def byte_vocabulary() -> dict[str, int]:
    """Returns a token for every byte, alone and at a word's end, and the two marks."""
    symbols = list(bytes_to_unicode().values())  # type: ignore[no-untyped-call]
    tokens = [*symbols, *(f"{symbol}</w>" for symbol in symbols), START, END]
    return {token: i for i, token in enumerate(tokens)}


def main() -> None:
    """Writes the checkpoint into the folder of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where to write it")
    print(save_random_clip(parser.parse_args().folder))


if __name__ == "__main__":
    main()
