"""The label set of the throughput benchmark: 20 labels, for our policy and for the other sides."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Self

import yaml

POLICY_ID, TEMPLATE = "throughput", "a photo of {}."
ACTING = ("a handgun", "a rifle", "a knife", "a cannon", "a banknote", "blood", "a cigarette")
CONTEXT = (
    *("a face", "a group of people", "a motorbike", "a car", "an airplane", "a piano", "a chair"),
    *("a plate of food", "a dog", "a building", "a landscape", "a page of text", "a screenshot"),
)


#: In the order of the policy.
PROMPTS = ACTING + CONTEXT


@dataclass(frozen=True)
class LabelSet:
    """Labels of one prompt each, so that every side can score the same texts.

    Attributes:
        thresholds: by prompt; a label with a threshold acts.
    """

    thresholds: Mapping[str, float] | None = None

    def calibrated(self, answers: Sequence[Mapping[str, float]]) -> Self:
        """Returns the label set with each acting label's threshold at the median of its scores.

        Random weights give no high scores. At the median half of the images are above a threshold,
        and many are near it, where two ways of computing a score could decide differently.
        """
        medians = {prompt: median(answer[prompt] for answer in answers) for prompt in ACTING}
        return replace(self, thresholds=medians)

    def decide(self, scores: Mapping[str, float]) -> dict[str, bool]:
        """Returns which acting labels fire."""
        assert self.thresholds is not None
        return {prompt: scores[prompt] >= limit for prompt, limit in self.thresholds.items()}

    def save_prompts(self, path: Path) -> Path:
        """Returns the file, which now holds the template and prompts for the other sides."""
        path.write_text(json.dumps({"template": TEMPLATE, "prompts": PROMPTS}))
        return path

    def save(self, path: Path) -> Path:
        """Returns the policy file, written now."""
        thresholds = self.thresholds or {}
        labels = [
            {"id": f"label-{i}", "prompts": [prompt]}
            | ({"action": "block", "threshold": thresholds[prompt]} if prompt in thresholds else {})
            for i, prompt in enumerate(PROMPTS)
        ]
        policy = {
            "schema_version": 1,
            "id": POLICY_ID,
            "version": 1,
            "title": "Throughput",
            "templates": [TEMPLATE],
            "scoring": "softmax",
            "decision": "threshold",
            "labels": labels,
        }
        path.write_text(yaml.safe_dump(policy, sort_keys=False))
        return path
