"""The records of a policy, a label set with what to do about each label, and their JSON Schema."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, Strict, model_validator

from moderation.errors import PolicyProblem
from moderation.messages import Action, PolicyStamp, Severity
from moderation.policy.rules import broken_rules
from moderation.policy.yaml_source import FileKind, Location, YamlSource

Threshold = Annotated[float, Strict(), Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
Text = Annotated[str, Field(min_length=1, max_length=2000)]

KIND = FileKind("a policy", "Start from a copy of policies/weapons.yaml")


class _PolicyRecord(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Returns a copy; a changed one is checked again, and keeps nothing that was computed."""
        if not update:
            return super().model_copy(deep=deep)
        kept = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_validate({**kept, **update})


class Label(_PolicyRecord):
    """One thing to recognise; with an `action` it acts, without one it only competes."""

    id: Slug = Field(description="Stable name, lower case, digits and hyphens.")
    category: str | None = Field(
        None,
        pattern=r"^[a-z0-9-]+(/[a-z0-9-]+)*$",
        description="Group in the verdict, such as weapons/firearms; by default the label's id.",
    )
    prompts: tuple[Text, ...] = Field(
        min_length=1, max_length=500, description="Wordings of the label, averaged."
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

    @property
    def acts(self) -> bool:
        """Whether the label has an action."""
        return self.action is not None

    @property
    def reported_category(self) -> str:
        """The category in the verdict: the author's, or otherwise the label's own id."""
        return self.category or self.id


class Expectation(_PolicyRecord):
    """What a verdict must say of an example image."""

    action: Action = Field(description="The verdict's action.")
    label: str | None = Field(None, description="The id of a label that fires.")


class Example(_PolicyRecord):
    """An image with the verdict that its author expects."""

    image: Text = Field(description="Path of the image, relative to the policy file.")
    expect: Expectation


class PolicyFile(NamedTuple):
    """A policy's file; `path` is what problems call it."""

    path: str
    text: str


class Policy(_PolicyRecord):
    """A label set and what to do about each label; equal content has equal `sha256`."""

    schema_version: Literal[1] = Field(description="Version of this file format.")
    id: Slug = Field(description="Stable name of the policy, lower case, digits and hyphens.")
    version: Annotated[
        int,
        Strict(),
        # Up to what the decision log's column holds.
        Field(ge=1, le=2**31 - 1, description="Raised by the author at each edit."),
    ]
    title: Text = Field(description="What it is for, in a few words.")
    model: Text | None = Field(
        None,
        description="starter, a folder, or hub-id[@revision]; by default the worker's model.",
    )
    templates: tuple[Text, ...] = Field(
        ("a photo of {}.",),
        min_length=1,
        max_length=500,
        description="Sentences that each prompt is set into, at {}; averaged.",
    )
    scoring: Literal["softmax", "contrast", "sigmoid"] = Field(
        "softmax",
        description="softmax: all labels share 1. contrast: each acting label against the "
        "context labels alone. sigmoid: each label by itself (SigLIP models).",
    )
    decision: Literal["threshold", "top_label"] = Field(
        "threshold",
        description="threshold: every label whose score reaches its threshold. "
        "top_label: only the label with the highest score.",
    )
    labels: tuple[Label, ...] = Field(min_length=1, max_length=5000)
    examples: tuple[Example, ...] = Field(
        (), description="Images with the verdict that the author expects."
    )

    tuned_on: tuple[Text, ...] = Field(
        (),
        max_length=100,
        description="Datasets on which its wording or thresholds were chosen, by name, by adapter "
        "or by hash; an audit on one of them says that its figures flatter.",
    )

    _source: YamlSource | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _keeps_the_rules(self) -> Self:
        """Refuses a policy built in Python that a file could not hold."""
        for rule in broken_rules(self.model_dump(mode="json", exclude_none=True)):
            raise ValueError(f"{rule.message}. {rule.remedy}")
        return self

    @cached_property
    def sha256(self) -> str:
        """Hash of the content, whatever the layout of the file."""
        content = self.model_dump(mode="json")
        if not self.tuned_on:  # so that a file from before there was this key keeps its hash
            del content["tuned_on"]
        text = json.dumps(content, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def notes(self) -> str:
        """What the author says of it: the comment that its file begins with; lines as written."""
        return self._source.opening_comment if self._source else ""

    @property
    def stamp(self) -> PolicyStamp:
        """What a verdict says of its policy."""
        return PolicyStamp(id=self.id, version=self.version, sha256=self.sha256)

    @property
    def file(self) -> PolicyFile:
        """The file that it was read from, as it was then.

        Raises:
            ValueError: it was built in Python.
        """
        if self._source is None:
            raise ValueError(f"the policy {self.id} has no file")
        return PolicyFile(self._source.path, self._source.text)

    def problem(self, location: Location, message: str, remedy: str) -> PolicyProblem:
        """Returns a problem at a place of this policy's file (line 0 if built in Python)."""
        source = self._source or YamlSource(f"<policy {self.id}>", KIND)
        return source.problem(location, message, remedy)


def policy_json_schema() -> dict[str, Any]:
    """Returns the JSON Schema of a policy file, in the draft that editors read (07)."""
    text = json.dumps(Policy.model_json_schema()).replace("#/$defs/", "#/definitions/")
    schema: dict[str, Any] = json.loads(text)
    definitions = schema.pop("$defs")
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **schema,
        "title": "Evenhand policy",
        "definitions": definitions,
    }
