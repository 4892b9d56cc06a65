"""A policy as the rules of lint read it: its texts with their places, and what is known besides."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from moderation.policy.label import Label
from moderation.policy.schema import Policy
from moderation.policy.yaml_source import Location

#: What a text of a policy does: it is what an acting label looks for, what that label is taken
#: for, or what only competes.
Role = Literal["target", "look-alike", "context"]


class WrittenText(NamedTuple):
    """A prompt or look-alike, with its place, what it does, and the label that it is of."""

    location: Location
    text: str
    role: Role
    label: Label

    @property
    def words(self) -> list[str]:
        """Its words, without punctuation around them, as written."""
        return written_words(self.text)


class TextVectors(NamedTuple):
    """What a model makes of a policy's texts, as rows of unit length.

    Attributes:
        prompts: a row for each of the policy's `texts`, the mean over its templates.
        labels: a row for each label, as production has it; 0 where a classifier scores it.
        model: what made them.
    """

    prompts: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]
    model: str


class HighestScores(NamedTuple):
    """The highest score of each label, by id, over `n` images of a reference set."""

    scores: Mapping[str, float]
    n: int
    dataset: str


@dataclass(frozen=True)
class LintedPolicy:
    """A valid policy and what else its rules may look at; None where that is not known.

    Attributes:
        policy: what is linted.
        model: the model that decides where the policy names none, by its reference.
        folder: where its examples are searched.
        committed: the policy in the last commit of its file.
        vectors: what the model makes of its texts.
        highest: how high its labels score on images.
    """

    policy: Policy
    model: str
    folder: Path | None = None
    committed: Policy | None = None
    vectors: TextVectors | None = None
    highest: HighestScores | None = None

    @cached_property
    def texts(self) -> tuple[WrittenText, ...]:
        """Its prompts and look-alikes, in the order of the file."""
        return tuple(
            WrittenText(("labels", i, key, j), text, role, label)
            for i, label in enumerate(self.policy.labels)
            for key, role in _roles(label).items()
            for j, text in enumerate(getattr(label, key))
        )

    @cached_property
    def acting(self) -> tuple[tuple[int, Label], ...]:
        """Its labels that act, each with its place among all."""
        return tuple((i, label) for i, label in enumerate(self.policy.labels) if label.acts)

    @property
    def decided_by(self) -> str:
        """Reference of the model that decides: its own, or otherwise the one that is named."""
        return self.policy.model or self.model

    @property
    def has_prompts(self) -> bool:
        """Whether a label has prompts, and not only classifiers."""
        return bool(self.texts)


def _roles(label: Label) -> dict[str, Role]:
    return {"prompts": "target" if label.acts else "context", "negatives": "look-alike"}


def written_words(text: str) -> list[str]:
    """Returns the words of a text, without punctuation around them."""
    return re.findall(r"[^\W_]+(?:['\u2019.-][^\W_]+)*", text)
