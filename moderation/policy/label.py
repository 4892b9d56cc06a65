"""One label of a policy: what scores it, and what to do where it fires."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, Strict

from moderation.messages import Action, Severity
from moderation.policy.authored import AuthoredRecord, Sha256, Slug, Text, Threshold
from moderation.policy.taxonomy import Taxonomy

_Side = Annotated[int, Strict(), Field(ge=1, le=4096)]
_Channel = Annotated[float, Field(allow_inf_nan=False)]
_PerChannel = tuple[_Channel, _Channel, _Channel]


class ClassifierOutput(AuthoredRecord):
    """Which number of a classifier's answer is the score."""

    name: Text | None = Field(None, description="Output tensor; by default the first.")
    column: Annotated[int, Strict(), Field(ge=0, le=100_000)] = Field(
        description="Which of an image's numbers, from 0."
    )
    activation: Literal["none", "softmax", "sigmoid"] = Field(
        "none", description="What makes scores in [0, 1] of its numbers."
    )


class ClassifierPreprocessing(AuthoredRecord):
    """How a picture becomes what a classifier takes; see `moderation model info` for a CLIP's."""

    resize: _Side | tuple[_Side, _Side] = Field(
        description="Length of the shorter side, or the exact [height, width]."
    )
    crop: tuple[_Side, _Side] = Field(description="[height, width] of the middle that is kept.")
    resample: Literal["bilinear", "bicubic", "lanczos"] = "bilinear"
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        1 / 255, description="What each number from 0 to 255 is multiplied by."
    )
    mean: _PerChannel = Field((0.0, 0.0, 0.0), description="Then subtracted: red, green, blue.")
    std: tuple[
        Annotated[float, Field(gt=0, allow_inf_nan=False)],
        Annotated[float, Field(gt=0, allow_inf_nan=False)],
        Annotated[float, Field(gt=0, allow_inf_nan=False)],
    ] = Field((1.0, 1.0, 1.0), description="Then divided by: red, green, blue.")
    layout: Literal["nchw", "nhwc"] = "nchw"
    channels: Literal["rgb", "bgr"] = "rgb"


class LabelClassifier(AuthoredRecord):
    """An image classifier that scores a label in the place of prompts."""

    file: Text = Field(description="A packaged one, such as open-nsfw, or a path to an ONNX file.")
    sha256: Sha256 = Field(description="Hash of the file; another file is refused.")
    output: ClassifierOutput
    preprocessing: ClassifierPreprocessing

    @property
    def named(self) -> str:
        """The file's name with the beginning of its hash, as a verdict has it."""
        return f"{self.file}@{self.sha256[:16]}"

    @cached_property
    def model_key(self) -> str:
        """What names the loaded classifier: labels with the same file and preprocessing share it.

        Which column of its output they take, and how they activate it, is their own.
        """
        shaping = [self.sha256, self.output.name, self.preprocessing.model_dump(mode="json")]
        digest = hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()
        return f"classifier {self.file} {digest[:16]}"


class Label(AuthoredRecord):
    """One thing to recognise; with an `action` it acts, without one it only competes."""

    id: Slug = Field(description="Stable name, lower case, digits and hyphens.")
    category: str | None = Field(
        None,
        pattern=r"^[a-z0-9-]+(/[a-z0-9-]+)*$",
        description="Group in the verdict, such as weapons/firearms; by default the label's id.",
    )
    prompts: tuple[Text, ...] = Field(
        (), max_length=500, description="Wordings of the label, averaged."
    )
    negatives: tuple[Text, ...] = Field(
        (),
        max_length=500,
        description="Its look-alikes, under contrast scoring: each competes with this label alone.",
    )
    classifier: LabelClassifier | None = Field(
        None, description="An image classifier that scores it, in the place of prompts."
    )
    action: Action | None = Field(
        None, description="What to do where the label fires; without one, a context label."
    )
    threshold: Threshold | None = Field(
        None, description="Score in [0, 1] from which the label fires (inclusive)."
    )
    review_threshold: Threshold | None = Field(
        None, description="Score from which a block label asks for review; below threshold."
    )
    severity: Severity | None = Field(None, description="How bad it is, for whoever reviews.")
    taxonomy: Taxonomy | None = Field(None, description="What others call its category.")

    @property
    def acts(self) -> bool:
        """Whether the label has an action."""
        return self.action is not None

    @property
    def reported_category(self) -> str:
        """The category in the verdict: the author's, or otherwise the label's own id."""
        return self.category or self.id
