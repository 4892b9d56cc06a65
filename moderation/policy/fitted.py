"""What a policy's thresholds were set on, and whether that is what decides now."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Annotated

from pydantic import Field, Strict

from moderation.messages import ModelStamp, Unfitted
from moderation.policy.authored import AuthoredRecord, Text


class Fitted(AuthoredRecord):
    """What thresholds were set on: they mean nothing for another model, or for other pixels."""

    model: Text = Field(
        description="The model's id, id@revision, or fingerprint, as `moderation model info` says."
    )
    preprocessing: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] = Field(
        description="Hash of how files become the model's pixels, as `moderation model info` says."
    )
    data: tuple[Text, ...] = Field(
        min_length=1,
        max_length=100,
        description="The datasets, each by its name, by its adapter, or by hash.",
    )
    n: Annotated[int, Strict(), Field(ge=1)] = Field(description="How many images these had.")
    date: datetime.date = Field(description="When, such as 2026-11-21.")

    def names(self, reference: str) -> bool | None:
        """Returns whether a reference names the same model; None where it must be loaded to see."""
        if reference == self.model or reference.partition("@")[0] == self.model.partition("@")[0]:
            return True
        is_hash = re.fullmatch("[0-9a-f]{16}", self.model) is not None
        return None if is_hash or Path(reference).exists() else False

    def misfit(self, model: ModelStamp) -> Unfitted | None:
        """Returns why a model is not the one that thresholds were set on; None if it is."""
        if self.model not in (model.id, f"{model.id}@{model.revision}", model.fingerprint):
            return "other-model"
        return None if self.preprocessing == model.preprocessing else "other-preprocessing"


def misfit_words(reason: Unfitted, fitted: Fitted | None, model: str) -> str:
    """Returns why thresholds are unfitted, in words.

    Args:
        reason: why.
        fitted: what the policy says of it.
        model: what decides.
    """
    if fitted is None:
        return "unfitted: the file does not say on what its thresholds were set"
    if reason == "other-model":
        return f"unfitted: its thresholds were set with {fitted.model}, and {model} decides"
    return (
        f"unfitted: its thresholds were set with {fitted.model} when files became pixels in "
        "another way, or nobody knows how they do now"
    )
