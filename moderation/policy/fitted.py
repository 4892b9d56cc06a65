"""What a policy's thresholds were set on, and whether that is what decides now."""

from __future__ import annotations

import datetime
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

    def misfit(self, model: ModelStamp) -> Unfitted | None:
        """Returns why a model is not the one that thresholds were set on; None if it is."""
        if self.model not in (model.id, f"{model.id}@{model.revision}", model.fingerprint):
            return "other-model"
        return None if self.preprocessing == model.preprocessing else "other-preprocessing"
